# SPDX-License-Identifier: Apache-2.0
"""What the language models' benchmarks share: lists of points, JSON lines, of data sets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.evaluation.benchmarks.layout import Folder
from metric_depth_ros.evaluation.benchmarks.protocol import Scoring, Task

# Data set: the word in the names of its lists.
WORDS: Mapping[str, str] = {
    'Argoverse 2': 'argoverse',
    'Waymo': 'waymo',
    'DDAD': 'ddad',
    'nuScenes': 'nuscenes',
    'ETH3D': 'eth3d',
    'ScanNet++': 'scannet',
    'SUN RGB-D': 'sun',
    'iBims-1': 'ibims',
    'NYU': 'nyu',
}
_KEYS = ('image', 'pixel_coords', 'depth')


def read_list(folder: Folder, path: Path, keys: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return the records of a list.

    Parameters
    ----------
    keys
        What every record has to have besides image, pixel_coords and depth.

    Raises
    ------
    InputError
        A line that is something else; the message names it.
    """
    records = list(_records(folder, path, (*_KEYS, *keys)))
    if not records:
        raise folder.fault(path, 'holds no record')
    return records


def _records(folder: Folder, path: Path, keys: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    with path.open(encoding='utf-8') as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise folder.fault(path, f'line {number} is no JSON ({error})') from error
            for key in keys:
                if not isinstance(record, dict) or key not in record:
                    raise folder.fault(path, f'line {number} has no {key}')
            for key in ('pixel_coords', 'depth'):
                if not isinstance(record[key], list):
                    raise folder.fault(path, f'line {number} has no list as {key}')
            if len(record['pixel_coords']) != len(record['depth']):
                raise folder.fault(
                    path,
                    f'line {number} has {len(record["pixel_coords"])} pixel_coords and '
                    f'{len(record["depth"])} depths',
                )
            yield record


def points_of(
    folder: Folder, path: Path, record: dict[str, Any], size: tuple[int, int]
) -> NDArray[np.float64]:
    """Return (N, 3) column, row and depth of a record, all inside of an image (H, W)."""
    try:
        depth = np.array(record['depth'], np.float64)
        uv = np.array(record['pixel_coords'], np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise folder.fault(path, f'has no numbers at {record["image"]} ({error})') from error
    if depth.ndim != 1 or (uv.shape != (len(depth), 2) and depth.size):
        raise folder.fault(
            path,
            f'has pixel_coords and depth of the shapes {uv.shape} and {depth.shape} at '
            f'{record["image"]}, expected (N, 2) and (N)',
        )
    uv = uv.reshape(-1, 2)
    if not ((uv >= 0.0) & (uv < np.array(size[::-1]))).all():
        raise folder.fault(
            path, f'has points outside of {record["image"]}, which is {size[1]}x{size[0]}'
        )
    return np.column_stack((uv, depth))


@dataclass(frozen=True)
class Listed:
    """A list: where it is, which data set it is of, and its records."""

    path: Path
    data_set: str
    records: list[dict[str, Any]]

    def ids(self, indices: Iterable[int]) -> list[str]:
        """Return the names of the images at some places of the list."""
        return [f'{self.data_set}/{i:06d}' for i in indices]


def lists_of(
    folder: Folder, pattern: str, data_sets: Sequence[str], keys: tuple[str, ...] = ()
) -> Iterator[Listed]:
    """Yield the lists of a folder.

    Parameters
    ----------
    folder
        Of the benchmark.
    pattern
        Of the files.
    data_sets
        Those of the benchmark, as in `WORDS`.
    keys
        What every record has to have besides image, pixel_coords and depth.

    Raises
    ------
    InputError
        Two lists of one data set, whose images would have the same names; or a list of none.
    """
    found: dict[str, Path] = {}
    for path in folder.files(pattern):
        data_set = _data_set(folder, path, data_sets)
        if data_set in found:
            raise folder.fault(
                path,
                f'is a second list of {data_set} beside {found[data_set]}, expected one a data '
                'set: move the other out of the folder',
            )
        found[data_set] = path
        yield Listed(path, data_set, read_list(folder, path, keys))


def tasks_of(
    data_sets: Sequence[str], score: Scoring, suffix: str = '', *, at_points: bool = True
) -> tuple[Task, ...]:
    """Return a task for each data set, named after it."""
    return tuple(
        Task(f'{name}{suffix}', score=score, includes=partial(_is_of, name), at_points=at_points)
        for name in data_sets
    )


def _is_of(name: str, item_id: str) -> bool:
    return item_id.startswith(f'{name}/')


def _data_set(folder: Folder, path: Path, data_sets: Sequence[str]) -> str:
    """Return which data set a list is of, by a word in its name."""
    for name in data_sets:
        if WORDS[name] in path.stem.lower():
            return name
    raise folder.fault(path, f'has none of {", ".join(WORDS[n] for n in data_sets)} in its name')
