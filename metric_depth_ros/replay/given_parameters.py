# SPDX-License-Identifier: Apache-2.0
"""What a user gives the node under test, read before the node starts. Loads no rclpy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.untrusted_files import read_yaml

_NODE = '/depth'
_VALUES = 'ros__parameters'
_WILDCARDS = {'**': r'(/\w+)*', '*': r'/\w+'}  # in the names of a file's sections


def single_parameters(texts: Sequence[str]) -> dict[str, str]:
    """Return parameters given as ``name:=value``.

    Raises
    ------
    InputError
        ``'usage'``: one without ``:=``; ``'parameter'``: one that the node does not have.
    """
    values = {}
    for text in texts:
        name, separator, value = text.partition(':=')
        if not separator:
            raise InputError('usage', f'--param {text!r} has no ":=": write --param NAME:=VALUE.')
        values[name] = value
    _refuse_unknown(values, '--param')
    return values


def file_parameters(path: Path, node: str = _NODE) -> dict[str, object]:
    """Return what a parameter file gives the node, by full name; later sections win.

    Parameters
    ----------
    path
        The file.
    node
        Full name of the node.

    Raises
    ------
    InputError
        ``'params_file'``: it cannot be read as YAML, or no section is the node's; ``'parameter'``:
        it gives one that the node does not have.
    """
    sections = list(_sections(read_yaml(path, 'params_file')))
    own = [values for name, values in sections if _is_of_node(name, node)]
    if not own:
        found = ', '.join(dict.fromkeys(name for name, _ in sections))
        raise InputError(
            'params_file',
            f'--params-file {path} gives the node {node} nothing: expected its {_VALUES} in a '
            f'section /** or {node}, found {f"those of {found}" if found else "no section"}.',
        )
    values = {name: value for section in own for name, value in _flat(section)}
    _refuse_unknown(values, f'--params-file {path}')
    return values


def refuse_unheard(
    topics: Mapping[str, str], sources: str, params_file: Path, namespace: str = '/'
) -> None:
    """Refuse the topic of a sensor that the node would not subscribe to.

    Parameters
    ----------
    topics
        Topics that were given, by source: values of ``prompt.sources``.
    sources
        ``prompt.sources`` as given beside the file, ``[points, radar]``; empty where it was not.
    params_file
        Says what is not given. One that gives the node nothing, or no list, is taken at its word:
        the node refuses it itself.
    namespace
        Of the node, absolute.

    Raises
    ------
    InputError
        ``'usage'``: such a topic, or `sources` that are no list.
    """
    if sources:
        used = _given_sources(sources)
    else:
        default = DEPTH_NODE.rows['prompt.sources'].default
        try:
            of_file = file_parameters(params_file, f'{namespace.rstrip("/")}{_NODE}')
        except InputError:
            return
        used = of_file.get('prompt.sources', default)
        if not _are_names(used):
            return
    for source, topic in topics.items():
        if source not in used:
            wanted = ', '.join((*used, source))
            raise InputError(
                'usage',
                f'{topic} is given for the source {source}, but prompt.sources is '
                f'[{", ".join(used)}] ({"prompt_sources" if sources else params_file}), so that '
                f"nothing would listen to it: give prompt_sources:='[{wanted}]', or those that "
                'the robot has.',
            )


def _given_sources(text: str) -> Any:
    try:
        used = yaml.safe_load(text)
    except yaml.YAMLError:
        used = None
    if not _are_names(used):
        raise InputError(
            'usage', f"prompt_sources is {text!r}, expected a list, e.g. '[points, radar]'."
        )
    return used


def _are_names(used: object) -> bool:
    return isinstance(used, list | tuple) and all(isinstance(name, str) for name in used)


def _refuse_unknown(names: Iterable[str], where: str) -> None:
    """Refuse what the node would leave out with no more than a line in its log."""
    for name, end in DEPTH_NODE.unknown(names).items():
        raise InputError(
            'parameter',
            f'{where}: the node {_NODE} has no parameter {name!r}{end} docs/PARAMETERS.md lists '
            'all; what is for other nodes belongs in a section of theirs.',
        )


def _sections(block: object, name: str = '') -> Iterator[tuple[str, object]]:
    """Yield (name of nodes, their values): a file may nest what a slash separates."""
    for key, inner in block.items() if isinstance(block, Mapping) else ():
        if key == _VALUES:
            yield name, inner
        else:
            yield from _sections(inner, f'{name}/{str(key).strip("/")}'.rstrip('/'))


def _is_of_node(section: str, node: str) -> bool:
    parts = (_WILDCARDS.get(part, f'/{re.escape(part)}') for part in section.split('/')[1:])
    return re.fullmatch(''.join(parts), node) is not None


def _flat(values: object, prefix: str = '') -> Iterator[tuple[str, object]]:
    """Yield values by full name: a file may nest what a dot separates."""
    for name, value in values.items() if isinstance(values, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _flat(value, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', value
