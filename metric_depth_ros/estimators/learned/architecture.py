# SPDX-License-Identifier: Apache-2.0
"""An architecture from the plain values that a checkpoint carries (``model_config``).

For the networks whose published weights carry none: without it the released architecture is
built, with it the one that it describes, field by field (`dataclasses.asdict` writes it).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

from metric_depth_ros.errors import InputError

Config = TypeVar('Config')


def config_from(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Return a configuration dataclass of its fields' values.

    Raises
    ------
    InputError
        A field that is missing, unknown, or of another type.
    """
    hints = typing.get_type_hints(kind)
    known = {item.name: item for item in fields(typing.cast(Any, kind))}
    required = {name for name, item in known.items() if _is_required(item)}
    missing, unknown = sorted(required - values.keys()), sorted(values.keys() - known.keys())
    if missing or unknown:
        raise InputError(
            'checkpoint_config',
            f'the model_config does not describe a {kind.__name__}: missing '
            f'{", ".join(missing) or "none"}, unknown {", ".join(unknown) or "none"}.',
        )
    return kind(**{name: _value(hints[name], value, name) for name, value in values.items()})


def _is_required(item: Any) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _value(hint: Any, value: Any, name: str) -> Any:
    if isinstance(hint, types.UnionType):
        return _one_of(typing.get_args(hint), value, name)
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return config_from(hint, value)
    items = typing.get_args(hint)
    if items[1:] == (Ellipsis,) and isinstance(value, list | tuple):
        items = items[:1] * len(value)
    if items and isinstance(value, list | tuple) and len(value) == len(items):
        return tuple(_value(kind, item, name) for kind, item in zip(items, value, strict=True))
    if type(value) is hint and (hint is not int or value >= 0):
        return value
    raise InputError(
        'checkpoint_config',
        f'{name} of the model_config is {value!r}, expected '
        f'{getattr(hint, "__name__", None) or hint}.',
    )


def _one_of(kinds: tuple[Any, ...], value: Any, name: str) -> Any:
    """Return the value as the one dataclass of several that has its fields."""
    for kind in kinds:
        if isinstance(value, Mapping) and value.keys() <= {item.name for item in fields(kind)}:
            return _value(kind, value, name)
    raise InputError(
        'checkpoint_config',
        f'{name} of the model_config is {value!r}, expected the fields of '
        f'{" or ".join(kind.__name__ for kind in kinds)}.',
    )
