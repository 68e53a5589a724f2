# SPDX-License-Identifier: Apache-2.0
"""Lists of points (JSON lines) that the language models' benchmarks are made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.evaluation.benchmarks.layout import Folder

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
        uv = np.array(record['pixel_coords'], np.float64).reshape(-1, 2)
        depth = np.array(record['depth'], np.float64)
    except (ValueError, TypeError) as error:
        raise folder.fault(path, f'has no numbers at {record["image"]} ({error})') from error
    if not ((uv >= 0.0) & (uv < np.array(size[::-1]))).all():
        raise folder.fault(
            path, f'has points outside of {record["image"]}, which is {size[1]}x{size[0]}'
        )
    return np.column_stack((uv, depth))


def data_set_of(folder: Folder, path: Path, keywords: dict[str, str]) -> str:
    """Return which data set a list is of, by a word in its name."""
    for word, name in keywords.items():
        if word in path.stem.lower():
            return name
    raise folder.fault(path, f'has none of {", ".join(keywords)} in its name')
