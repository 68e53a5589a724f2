# SPDX-License-Identifier: Apache-2.0
"""What a user gives the node under test, read before the node starts. Loads no rclpy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from metric_depth_ros.errors import InputError
from metric_depth_ros.untrusted_files import read_yaml

_SECTIONS = ('/**', 'depth', '/depth')  # of a parameter file that are of the node; later ones win


def single_parameters(texts: Sequence[str]) -> dict[str, str]:
    """Return parameters given as ``name:=value``.

    Raises
    ------
    InputError
        ``'usage'``: one without ``:=``.
    """
    values = {}
    for text in texts:
        name, separator, value = text.partition(':=')
        if not separator:
            raise InputError('usage', f'--param {text!r} has no ":=": write --param NAME:=VALUE.')
        values[name] = value
    return values


def file_parameters(path: Path) -> dict[str, object]:
    """Return what a parameter file gives the node, by full name.

    Raises
    ------
    InputError
        ``'params_file'``: it cannot be read as YAML.
    """
    content = read_yaml(path, 'params_file')
    values: dict[str, object] = {}
    for section in _SECTIONS if isinstance(content, Mapping) else ():
        block = content.get(section)
        values |= _flat(block.get('ros__parameters') if isinstance(block, Mapping) else None)
    return values


def _flat(values: object, prefix: str = '') -> Iterator[tuple[str, object]]:
    """Yield values by full name: a file may nest what a dot separates."""
    for name, value in values.items() if isinstance(values, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _flat(value, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', value
