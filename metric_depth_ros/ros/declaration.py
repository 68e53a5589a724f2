# SPDX-License-Identifier: Apache-2.0
"""The parameter table declared on a node, and values refused in words before they are used.

Parameters are declared with dynamic typing: rclpy's own check would throw out of the constructor
of the node, and would refuse ``1`` where ``1.0`` is meant. What the user gave wrongly at start is
kept as a sentence that the configure transition fails with, until a good value is set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.parameter_table import (
    CONFIGURE,
    ESTIMATOR,
    READ_ONLY,
    Parameter,
    ParameterTable,
    Settings,
)

_OVERRIDES = 'qos_overrides'


class DeclaredParameters(Generic[Settings]):
    """The table on a node.

    Parameters
    ----------
    node
        Node to declare on.
    table
        Its parameters.
    prepare
        Called, while the node is configured, with settings that ask for another estimator; the
        change is refused if it raises `InputError`.
    """

    def __init__(
        self,
        node: Node,
        table: ParameterTable[Settings],
        prepare: Callable[[Settings], None],
    ) -> None:
        self.configured = False
        self._prepare = prepare
        self._node = node
        self._table = table
        self._refused: dict[str, InputError] = {}
        for row in table.rows.values():
            self._declare(row)
        node.add_on_set_parameters_callback(self._check)

    def settings(self) -> Settings:
        """Return the values of all parameters, checked.

        Raises
        ------
        InputError
            The first value that cannot be used.
        """
        for error in self._refused.values():
            raise error
        return self._table.settings(self._values())

    def unknown_names(self) -> list[str]:
        """Return a sentence for each parameter that was given at start and does not exist."""
        unknown = self._table.unknown(getattr(self._node, '_parameter_overrides', {}))
        return [
            f'there is no parameter {name!r}: it is ignored{end}' for name, end in unknown.items()
        ]

    def unused_overrides(self) -> str:
        """Return a sentence about quality of service that was given and holds for nothing.

        rclpy declares the overrides of a topic when its publisher or subscription is made; empty
        where all that were given are declared.
        """
        given = getattr(self._node, '_parameter_overrides', {})
        unused = [
            name
            for name in given
            if name.startswith(f'{_OVERRIDES}.') and not self._node.has_parameter(name)
        ]
        if not unused:
            return ''
        known = [n.rpartition('.') for n in self._node.get_parameters_by_prefix(_OVERRIDES)]
        ends, policies = ({part[at] for part in known} for at in (0, 2))
        return (
            f'{", ".join(unused)}: of no topic in use, expected {_OVERRIDES}.TOPIC.POLICY with a '
            f'POLICY of {", ".join(sorted(policies))} and a TOPIC, as remapped, of '
            f'{", ".join(sorted(ends))}.'
        )

    def _declare(self, row: Parameter) -> None:
        default = list(row.default) if isinstance(row.default, tuple) else row.default
        given = getattr(self._node, '_parameter_overrides', {}).get(row.name)
        try:
            if given is not None:
                row.checked(given.value)
            self._node.declare_parameter(row.name, default, _descriptor(row))
            return
        except InputError as error:
            self._refused[row.name] = error
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            self._refused[row.name] = InputError('parameter', str(error))
        self._node.declare_parameter(row.name, default, _descriptor(row), ignore_override=True)

    def _values(self) -> dict[str, object]:
        return {name: self._node.get_parameter(name).value for name in self._table.rows}

    def _check(self, parameters: Iterable[RosParameter]) -> SetParametersResult:
        table = self._table.rows
        before = self._values()
        values = dict(before)
        mine = [p for p in parameters if p.name in table]
        try:
            for parameter in mine:
                if parameter.type_ == RosParameter.Type.NOT_SET:
                    raise InputError(
                        'parameter',
                        f'parameter {parameter.name} cannot be deleted; a list may be set to [].',
                    )
                values[parameter.name] = table[parameter.name].checked(parameter.value)
            if self.configured:
                rows = [table[parameter.name] for parameter in mine]
                # A list comes back from rclpy as another kind of sequence.
                self._use(
                    [row for row in rows if values[row.name] != row.checked(before[row.name])],
                    values,
                )
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        for parameter in mine:
            self._refused.pop(parameter.name, None)
        return SetParametersResult(successful=True)

    def _use(self, changed: list[Parameter], values: dict[str, object]) -> None:
        """Make ready what changed values ask for, or refuse them."""
        for row in changed:
            if row.change == CONFIGURE:
                raise InputError(
                    'parameter',
                    f'parameter {row.name} takes effect at the next configure: deactivate and '
                    'clean up the node first.',
                )
        settings = self._table.settings(values)
        if any(row.change == ESTIMATOR for row in changed):
            self._prepare(settings)


def _descriptor(row: Parameter) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        name=row.name,
        description=row.description,
        additional_constraints=row.range_words,
        read_only=row.change == READ_ONLY,
        dynamic_typing=True,
    )
    if row.minimum is not None and row.maximum is not None:
        if row.kind is int:
            descriptor.integer_range = [
                IntegerRange(from_value=int(row.minimum), to_value=int(row.maximum))
            ]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=row.minimum, to_value=row.maximum)
            ]
    return descriptor
