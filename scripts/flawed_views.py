# SPDX-License-Identifier: Apache-2.0
"""Shards whose depth is wrong here and there, as that of real sensors: to ablate a robust loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.training.shards import ShardSource, shard_name, write_index, write_shard

FLAWED_SHARE = 0.15  # of the pixels: less than the robust loss drops
_SIDES_PX = (2, 8)


def write_flawed_shard(source: ShardSource, indices: Iterable[int], folder: Path) -> None:
    """Write some examples of a source with flawed depth; their number decides where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    examples = ((index, source.load(index)) for index in indices)
    named = (
        (f'{index:08d}', replace(one, depth=flawed(one.depth, np.random.default_rng(index))))
        for index, one in examples
    )
    name = shard_name(0)
    write_index(folder, {name: write_shard(folder / name, named)})


def flawed(depth: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return depth (H, W) in meters with specks of any other depth of the scene.

    They cover `FLAWED_SHARE` of the image, but what is unknown or sky stays so. Every speck has
    one depth; all factors from half the least to twice the largest are equally likely.
    """
    known = np.isfinite(depth)
    if not known.any():
        return depth
    height, width = depth.shape
    near, far = np.quantile(depth[known], (0.02, 0.98)) * (0.5, 2.0)
    worn = depth.copy()
    wrong = np.zeros(depth.shape, bool)
    while wrong.mean() < FLAWED_SHARE:
        y, x = int(rng.integers(height)), int(rng.integers(width))
        rows, columns = (int(side) for side in rng.integers(*_SIDES_PX, 2))
        speck = slice(y, y + rows), slice(x, x + columns)
        worn[speck] = near * (far / near) ** rng.random()
        wrong[speck] = True
    return np.where(known, worn, depth)
