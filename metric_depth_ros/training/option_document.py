# SPDX-License-Identifier: Apache-2.0
"""docs/TRAINING_OPTIONS.md, from the dataclasses of configurations and what they say. Torch."""

from __future__ import annotations

import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from metric_depth_ros.networks.compact_student import CompactStudentConfig
from metric_depth_ros.networks.compact_teacher import CompactTeacherConfig
from metric_depth_ros.networks.depth_vqvae import DepthVqVaeConfig
from metric_depth_ros.networks.student_depthmap import StudentDepthMapConfig
from metric_depth_ros.networks.teacher import TeacherConfig
from metric_depth_ros.training.config import SourceConfig, TrainingConfig
from metric_depth_ros.training.recipes.compact import CompactOptions
from metric_depth_ros.training.recipes.compact_student import CompactStudentOptions
from metric_depth_ros.training.recipes.depth_tokens import DepthTokenOptions
from metric_depth_ros.training.recipes.masked import MaskedOptions
from metric_depth_ros.training.recipes.pointmap import PointMapOptions
from metric_depth_ros.training.recipes.radar import FARTHEST_M
from metric_depth_ros.training.recipes.student import StudentOptions
from metric_depth_ros.training.recipes.teacher import TeacherOptions


@dataclass(frozen=True)
class RecipeKeys:
    """What a recipe takes.

    Parameters
    ----------
    network, options
        Dataclasses of the two parts of a configuration; None where the note says it.
    note
        What the table does not tell.
    """

    network: type | None
    options: type | None
    note: str = ''


KEYS: Mapping[str, RecipeKeys] = {
    'teacher': RecipeKeys(
        TeacherConfig,
        TeacherOptions,
        'A `network.backbone` with `native_grid` or `mask_token` is a DINOv2, whose first three '
        'sizes have no defaults; any other is a DINOv3.',
    ),
    'student': RecipeKeys(StudentDepthMapConfig, StudentOptions),
    'pointmap': RecipeKeys(
        None,
        PointMapOptions,
        '`network` is the `model_config` that checkpoints of MoGe-2 and Student-PointMap hold, '
        'without `normal_head`; left out, the released architecture.',
    ),
    'radar': RecipeKeys(
        None,
        None,
        'As `teacher`, but `options.prompts` is no key here, and `options.farthest_m` is '
        f'`{FARTHEST_M}` where it is left out.',
    ),
    'masked': RecipeKeys(
        None,
        MaskedOptions,
        '`network` is the `model_config` that checkpoints of LingBot-Depth hold; left out, the '
        'released architecture.',
    ),
    'compact': RecipeKeys(CompactTeacherConfig, CompactOptions),
    'compact_student': RecipeKeys(CompactStudentConfig, CompactStudentOptions),
    'depth_tokens': RecipeKeys(DepthVqVaeConfig, DepthTokenOptions),
}

_HEAD = """\
# Options of trainings

Generated from the dataclasses of `metric_depth_ros/training` and `metric_depth_ros/networks` by
`python -m metric_depth_ros.training.option_document docs/TRAINING_OPTIONS.md`; a test keeps it
true. What a training is and how it is started: [TRAINING.md](TRAINING.md).

A dot stands for a key within a key: `optimizer.rate` is `optimizer: {rate: 1.0e-3}` in the file.
A number such as `1e-3`, which YAML reads as text, counts as a number. A value out of range is
refused with the range.
"""

_COLUMNS = """\
| key | type | default | meaning |
|---|---|---|---|
"""

_HEADING = re.compile(r'^(?:Attributes|Parameters)\n-+\n', re.MULTILINE)
_ENTRY = re.compile(r'^(\w[\w, ]*)\n((?: +.*\n?)+)', re.MULTILINE)
_QUOTED = re.compile(r"``'?([^`']*)'?``")
_WORDS = {bool: 'true or false', int: 'integer', float: 'number', str: 'text'}


def markdown() -> str:
    """Return the document."""
    sections = {
        '## A configuration': _table(_rows(TrainingConfig, '')),
        '### An entry of `data` and `validation`': _table(_rows(SourceConfig, '')),
        **{f'## Recipe `{name}`': _recipe(keys) for name, keys in KEYS.items()},
    }
    return _HEAD + ''.join(f'\n{title}\n\n{text}' for title, text in sections.items())


def _recipe(keys: RecipeKeys) -> str:
    kinds = {'network.': keys.network, 'options.': keys.options}
    rows = [
        row for prefix, kind in kinds.items() if kind is not None for row in _rows(kind, prefix)
    ]
    parts = [f'{keys.note}\n'] if keys.note else []
    return '\n'.join([*parts, _table(rows)] if rows else parts)


def _table(rows: Iterable[str]) -> str:
    return _COLUMNS + ''.join(rows)


def _rows(kind: type, prefix: str, known: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield a row for each described group of keys, and after it those of the keys within."""
    hints = typing.get_type_hints(kind)
    by_name = {item.name: item for item in fields(kind) if item.name not in known}
    for names, meaning in _described(kind):
        found = [by_name[name] for name in names if name in by_name]
        if not found:
            continue
        keys = ', '.join(f'`{prefix}{item.name}`' for item in found)
        kinds = '; '.join(dict.fromkeys(_type(hints[item.name]) for item in found))
        defaults = ', '.join(_default(item) for item in found)
        yield f'| {keys} | {kinds} | {defaults} | {meaning} |\n'
        for item in found:
            seen: frozenset[str] = frozenset()
            for inner in _dataclasses(hints[item.name]):
                yield from _rows(inner, f'{prefix}{item.name}.', seen)
                seen |= {field.name for field in fields(inner)}


def _described(kind: type) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the groups of fields and what the docstrings of the class and its bases say of them.

    Raises
    ------
    ValueError
        A field that is nowhere described.
    """
    left = [item.name for item in fields(kind)]
    for base in kind.__mro__:
        *_, section = _HEADING.split(inspect.cleandoc(base.__doc__ or ''))
        for names_text, text in _ENTRY.findall(f'{section}\n'):
            names = tuple(name for name in names_text.split(', ') if name in left)
            if names:
                left = [name for name in left if name not in names]
                yield names, _in_markdown(text)
    if left:
        raise ValueError(f'{kind.__name__} does not describe {", ".join(left)}')


def _in_markdown(text: str) -> str:
    """Return the words of a docstring as those of a file of keys and values."""
    return re.sub(r'\bNone\b', 'null', _QUOTED.sub(r'`\1`', ' '.join(text.split())))


def _dataclasses(hint: Any) -> list[type]:
    """Return the dataclasses that the value of a key may be; those of lists have a table."""
    kinds = typing.get_args(hint) if _is_union(hint) else (hint,)
    return [kind for kind in kinds if is_dataclass(kind) and isinstance(kind, type)]


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def _type(hint: Any) -> str:
    items = typing.get_args(hint)
    if _is_union(hint):
        words = dict.fromkeys(_type(kind) for kind in items if kind is not type(None))
        return ' or '.join([*words, *(['null'] if type(None) in items else [])])
    if typing.get_origin(hint) is tuple:
        return f'[{", ".join("..." if kind is Ellipsis else _type(kind) for kind in items)}]'
    return _WORDS.get(hint, 'keys')


def _default(item: Field[Any]) -> str:
    if item.default_factory is not MISSING:
        made = item.default_factory()
        return '' if is_dataclass(made) else f'`{json.dumps(made)}`'
    return 'required' if item.default is MISSING else f'`{json.dumps(item.default)}`'


def main() -> int:
    """Write the document to the path given, or print it."""
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(markdown(), encoding='utf-8')
    else:
        sys.stdout.write(markdown())
    return 0


if __name__ == '__main__':
    sys.exit(main())
