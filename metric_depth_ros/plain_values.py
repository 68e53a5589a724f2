# SPDX-License-Identifier: Apache-2.0
"""Plain values, as YAML and JSON have them, to dataclasses, checked field by field.

A field is a bool, int, float or str, a tuple, a mapping, another dataclass, or one of several of
these, told apart by their fields. Standard library only.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, TypeVar

from metric_depth_ros.errors import InputError

Kind = TypeVar('Kind')


@dataclass(frozen=True)
class PlainValues:
    """What is taken for a value, and what a value that does not fit is refused as.

    Parameters
    ----------
    fault
        Of the `InputError`.
    text_numbers
        Whether text may stand for a number: YAML 1.1 reads 1e-6 as text.
    least_int
        Smallest integer that is taken; None for any.
    """

    fault: str
    text_numbers: bool = False
    least_int: int | None = None

    def read(self, kind: type[Kind], content: Any, where: str) -> Kind:
        """Return a dataclass of its fields' values.

        Parameters
        ----------
        kind
            The dataclass.
        content
            The values by the names of the fields.
        where
            Names the place in errors, e.g. ``'tiny.yaml: optimizer'``.

        Raises
        ------
        InputError
            A field that is missing, unknown, or has a value of another type or out of range.
        """
        if not isinstance(content, Mapping):
            raise InputError(self.fault, f'{where}: expected keys and values, got {content!r}.')
        hints = typing.get_type_hints(kind)
        known = {item.name: item for item in fields(typing.cast(Any, kind))}
        unknown = [str(key) for key in content if key not in known]
        missing = [
            name for name, item in known.items() if name not in content and _is_required(item)
        ]
        if unknown or missing:
            faults = [f'unknown {", ".join(unknown)}'] if unknown else []
            faults += [f'missing {", ".join(missing)}'] if missing else []
            raise InputError(
                self.fault, f'{where}: {"; ".join(faults)}; known are {", ".join(known)}.'
            )
        values = {
            name: self._value(hints[name], value, f'{where}: {name}')
            for name, value in content.items()
        }
        try:
            return kind(**values)
        except ValueError as error:
            fault = error.fault if isinstance(error, InputError) else self.fault
            raise InputError(fault, f'{where}: {error}') from error

    def _value(self, hint: Any, value: Any, where: str) -> Any:
        origin, items = typing.get_origin(hint), typing.get_args(hint)
        if origin in (types.UnionType, typing.Union):
            if value is None and type(None) in items:
                return None
            kinds = [kind for kind in items if kind is not type(None)]
            return self._value(_described(kinds, value), value, where)
        if is_dataclass(hint) and isinstance(hint, type):
            return self.read(hint, value, where)
        if origin is tuple and isinstance(value, list | tuple):
            kinds = [items[0]] * len(value) if items[1:] == (Ellipsis,) else list(items)
            if len(kinds) == len(value):
                return tuple(
                    self._value(kind, item, f'{where}[{i}]')
                    for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
                )
        elif origin is Mapping or hint is Mapping:
            if isinstance(value, Mapping):
                return dict(value)
        elif hint is float:
            if self._is_number(value):
                return float(value)
        elif type(value) is hint and not self._is_too_small(value):
            return value
        raise InputError(
            self.fault, f'{where} is {value!r}, expected {self._expected(hint, origin)}.'
        )

    def _is_number(self, value: Any) -> bool:
        kinds = (int, float, str) if self.text_numbers else (int, float)
        if type(value) not in kinds:
            return False
        try:
            float(value)
        except (ValueError, OverflowError):
            return False
        return True

    def _is_too_small(self, value: Any) -> bool:
        return type(value) is int and self.least_int is not None and value < self.least_int

    def _expected(self, hint: Any, origin: Any) -> str:
        if origin is tuple:
            return 'a list'
        if hint is int and self.least_int is not None:
            return f'int, at least {self.least_int}'
        return getattr(hint, '__name__', '') if origin is None else 'keys and values'


def _is_required(item: Any) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _described(kinds: Sequence[Any], value: Any) -> Any:
    """Return the first of several kinds whose fields the value's keys are."""
    for kind in kinds:
        described = is_dataclass(kind) and isinstance(value, Mapping)
        if described and value.keys() <= {item.name for item in fields(kind)}:
            return kind
    return kinds[0]
