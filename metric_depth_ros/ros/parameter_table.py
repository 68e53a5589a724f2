# SPDX-License-Identifier: Apache-2.0
"""What a node's parameters are made of: rows of a table that frozen dataclasses state.

Each node has one such table (`parameters`, `query_parameters`, `reconstruct_parameters`,
`realsense.parameters`). Standard library only.
"""

from __future__ import annotations

import difflib
import math
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass

from metric_depth_ros.errors import InputError

# When a changed value takes effect.
LIVE = 'at once'
ESTIMATOR = 'when the new estimator is ready'
CONFIGURE = 'next configure'
READ_ONLY = 'read-only'

# Parameters that ROS gives every node.
_ROS_NAMES = ('use_sim_time', 'start_type_description_service')
_ROS_PREFIX = 'qos_overrides.'

Settings = typing.TypeVar('Settings')

# typing.Any by another name: a default stands for the type that its field is annotated with.
_FieldDefault = typing.Any


def parameter(
    default: object,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    change: str = LIVE,
) -> _FieldDefault:
    """Return a field of a settings dataclass that is a parameter of a node.

    Parameters
    ----------
    default, description
        As users see them.
    minimum, maximum
        Limits of a number; a number has both.
    choices
        The values that there are, of a string or of the items of a list.
    change
        When a changed value takes effect.
    """
    metadata = {
        'description': description,
        'minimum': minimum,
        'maximum': maximum,
        'choices': choices,
        'change': change,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Parameter:
    """One row of the table."""

    name: str
    kind: type
    default: object
    description: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    change: str

    def checked(self, value: object) -> object:
        """Return `value` in the parameter's type, or refuse it.

        An integer is taken where a double is meant.

        Raises
        ------
        InputError
            Wrong type, out of range, or not one of the choices.
        """
        if self.kind is tuple:
            return self._checked_list(value)
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not self.kind:
            self._refuse(value, f'expected {_TYPE_WORDS[self.kind]}')
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(value, 'expected a finite number')
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert self.minimum is not None
            assert self.maximum is not None
            if not self.minimum <= value <= self.maximum:
                self._refuse(value, f'expected {self.range_words}')
        if self.choices and value not in self.choices:
            self._refuse(value, f'expected {self.range_words}')
        return value

    @property
    def range_words(self) -> str:
        """The accepted values in words."""
        if self.choices:
            joint = ', ' if self.kind is tuple else ' or '
            return joint.join(self.choices)
        if self.minimum is None or self.maximum is None:
            return ''
        return f'{self.minimum:g} to {self.maximum:g}'

    def _checked_list(self, value: object) -> tuple[str, ...]:
        items = [] if value is None else value  # an empty YAML list arrives as "not set"
        if isinstance(items, str) or not hasattr(items, '__iter__'):
            self._refuse(value, 'expected a list of strings')
        checked = tuple(items)
        for item in checked:
            if self.choices and item not in self.choices:
                self._refuse(value, f'expected a list of any of {self.range_words}')
            if not (isinstance(item, str) and _NAME.fullmatch(item)):
                self._refuse(value, 'expected names that topics can begin with, such as front')
        return tuple(dict.fromkeys(checked))

    def _refuse(self, value: object, expected: str) -> typing.NoReturn:
        shown = list(value) if isinstance(value, tuple) else value
        raise InputError('parameter', f'parameter {self.name} is {shown!r}, {expected}.')


_NAME = re.compile(r'[A-Za-z]\w*(/[A-Za-z]\w*)*', re.ASCII)
_TYPE_WORDS = {
    bool: 'true or false',
    int: 'an integer',
    float: 'a number',
    str: 'a string',
    tuple: 'a list of strings',
}


class ParameterTable(typing.Generic[Settings]):
    """The parameters of one node.

    Parameters
    ----------
    settings
        Dataclass of parameters, and of dataclasses of parameters, whose names become prefixes.
    check
        Refuses, with an `InputError`, values that contradict another.
    """

    def __init__(
        self, settings: type[Settings], check: Callable[[Settings], None] | None = None
    ) -> None:
        self._settings = settings
        self._check = check
        self.rows: Mapping[str, Parameter] = {p.name: p for p in _rows(settings, '')}

    def unknown(self, names: Iterable[str]) -> dict[str, str]:
        """Return, by name, the end of a sentence about each name that no such node has."""
        ends = {}
        for name in names:
            if name in self.rows or name in _ROS_NAMES or name.startswith(_ROS_PREFIX):
                continue
            near = difflib.get_close_matches(name, self.rows, 1)
            ends[name] = f'; did you mean {near[0]}?' if near else '.'
        return ends

    def settings(self, values: Mapping[str, object]) -> Settings:
        """Return the settings of values by full name; missing ones take their default.

        Raises
        ------
        InputError
            A name that is not in the table, a value out of range, or values that contradict
            another.
        """
        for name in values:
            if name not in self.rows:
                raise InputError('parameter', f'there is no parameter {name!r}.')
        checked = {name: self.rows[name].checked(value) for name, value in values.items()}
        settings = typing.cast(Settings, _assembled(self._settings, '', checked))
        if self._check is not None:
            self._check(settings)
        return settings


def _rows(settings: type, prefix: str) -> Iterator[Parameter]:
    hints = typing.get_type_hints(settings)
    for item in fields(settings):
        hint = hints[item.name]
        if is_dataclass(hint):
            yield from _rows(typing.cast(type, hint), f'{prefix}{item.name}.')
        else:
            kind = typing.get_origin(hint) or hint
            yield Parameter(prefix + item.name, kind, item.default, **item.metadata)


def _assembled(settings: type, prefix: str, values: Mapping[str, object]) -> object:
    hints = typing.get_type_hints(settings)
    arguments = {}
    for item in fields(settings):
        name = prefix + item.name
        if is_dataclass(hints[item.name]):
            arguments[item.name] = _assembled(hints[item.name], f'{name}.', values)
        elif name in values:
            arguments[item.name] = values[name]
    return settings(**arguments)
