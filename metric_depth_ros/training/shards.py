# SPDX-License-Identifier: Apache-2.0
"""Examples in tar files of some hundred, as WebDataset has them: written in order, read anywhere.

The files of an example follow one another and share the name up to the first dot, so that any
WebDataset reader can stream them. Here every example is read where it lies: any order costs the
same, and a training resumes at an exact place. `example_files`, `untrusted_files`.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from metric_depth_ros.errors import InputError
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.example_files import decode_example, encode_example
from metric_depth_ros.untrusted_files import read_json
from metric_depth_ros.whole_files import whole_file, write_whole

SUFFIX = '.tar'
INDEX_NAME = 'shards.json'
# Of each process, whatever its number of sources. Where an example lies is known only once its
# whole shard has been looked through, which costs more than to read it.
_MOST_OPEN = 256


class _Member(NamedTuple):
    """Where one file lies in a shard."""

    suffix: str
    offset: int
    size: int


Layout = list[list[_Member]]  # of each example


def shard_name(number: int) -> str:
    """Return the file name of a numbered shard."""
    return f'{number:06d}{SUFFIX}'


def write_shard(path: Path, examples: Iterable[tuple[str, Example]]) -> int:
    """Write a shard; it appears under its name only when it is complete.

    Parameters
    ----------
    path
        File to make.
    examples
        Names (without dots) and examples.

    Returns
    -------
    int
        How many.
    """
    count = 0
    with whole_file(path) as part, tarfile.open(part, 'w', format=tarfile.USTAR_FORMAT) as tar:
        for name, example in examples:
            for suffix, content in encode_example(example).items():
                member = tarfile.TarInfo(f'{name}.{suffix}')
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            count += 1
    return count


def write_index(folder: Path, counts: dict[str, int]) -> None:
    """Write down how many examples each shard has, so that opening reads no shard."""
    write_whole(folder / INDEX_NAME, json.dumps(counts, indent=1))


def keep_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Keep what a folder of shards is made with beside them, so that two data sets never mix.

    Parameters
    ----------
    path
        File of the settings; made when it is not there.
    settings
        Plain values.

    Raises
    ------
    InputError
        The folder was made with others, or holds shards that nothing is known of.
    """
    content = json.dumps(settings, indent=1)
    if not path.is_file():
        if any(path.parent.glob(f'*{SUFFIX}')):
            raise InputError(
                'training_data',
                f'{path.parent} holds shards, but no {path.name} that tells what they were made '
                'with: choose another folder, or delete its shards.',
            )
        write_whole(path, content)
        return
    kept = read_json(path, 'training_data')
    known = kept if isinstance(kept, dict) else {}
    wanted = json.loads(content)
    changes = [
        f'{key} {repr(known[key]) if key in known else "unknown"} instead of {wanted[key]!r}'
        for key in wanted
        if known.get(key) != wanted[key]
    ]
    if changes:
        raise InputError(
            'training_data',
            f'{path.parent} holds examples that were made with {", ".join(changes)}: choose '
            'another folder, or the same settings and version of this package.',
        )


class ShardSource:
    """The examples of a folder of shards, by number.

    Parameters
    ----------
    folder
        Holds ``*.tar``; or one such file.

    Raises
    ------
    InputError
        No shard there, none with an example, or one that is no tar file.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = [folder] if folder.is_file() else sorted(folder.glob(f'*{SUFFIX}'))
        if not self._paths:
            raise InputError(
                'training_data',
                f'{folder} holds no shard (*{SUFFIX}): make some with `metric-depth make-shards`.',
            )
        known = _read_index(folder / INDEX_NAME) if folder.is_dir() else {}
        self.groups = [
            known[path.name] if path.name in known else len(_layout(path)) for path in self._paths
        ]
        self._ends = list(accumulate(self.groups))
        if not self._ends[-1]:
            raise InputError(
                'training_data',
                f'{folder} holds {len(self._paths)} shards without an example: make them anew; '
                '`metric-depth pseudo-label` leaves out what misses by more than --worst-error.',
            )

    def __len__(self) -> int:
        """Return the number of examples."""
        return self._ends[-1]

    def load(self, index: int) -> Example:
        """Read an example.

        Raises
        ------
        InputError
            It is damaged.
        """
        shard = bisect_right(self._ends, index)
        index -= self._ends[shard] - self.groups[shard]
        where = f'{self._paths[shard]}, example {index}'
        file, layout = self._opened(shard)
        if index >= len(layout):
            raise InputError(
                'training_data',
                f'{where}: the shard has only {len(layout)}; delete {INDEX_NAME} beside it.',
            )
        files = {m.suffix: os.pread(file, m.size, m.offset) for m in layout[index]}
        return decode_example(files, where)

    def _opened(self, shard: int) -> tuple[int, Layout]:
        key = self, shard
        if key not in _open:
            path = self._paths[shard]
            layout = _layout(path)
            _open[key] = os.open(path, os.O_RDONLY), layout
            while len(_open) > _MOST_OPEN:
                _, (file, _) = _open.popitem(last=False)
                os.close(file)
        _open.move_to_end(key)
        return _open[key]


# Of all sources, in the order of their last use.
_open: OrderedDict[tuple[ShardSource, int], tuple[int, Layout]] = OrderedDict()


def _layout(path: Path) -> Layout:
    examples: dict[tuple[str, str], list[_Member]] = {}
    try:
        with tarfile.open(path, 'r:') as tar:
            for member in tar:
                folder, _, file = member.name.rpartition('/')
                name, _, suffix = file.partition('.')
                if member.isfile():
                    place = _Member(suffix, member.offset_data, member.size)
                    examples.setdefault((folder, name), []).append(place)
    except (tarfile.TarError, OSError) as error:
        raise InputError(
            'training_data', f'the shard {path} cannot be read as a tar file: {error}.'
        ) from error
    return list(examples.values())


def _read_index(path: Path) -> dict[str, int]:
    if not path.is_file():
        return {}
    try:
        counts = json.loads(path.read_text('utf-8'))
        return {str(name): int(count) for name, count in counts.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            'training_data', f'{path} cannot be read: {error}. Delete it: it will not be missed.'
        ) from error


def existing_counts(folder: Path, numbers: Sequence[int]) -> dict[int, int]:
    """Return number -> examples of the complete shards among some numbers."""
    paths = {number: folder / shard_name(number) for number in numbers}
    return {number: len(_layout(path)) for number, path in paths.items() if path.is_file()}
