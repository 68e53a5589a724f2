# SPDX-License-Identifier: Apache-2.0
"""Examples and configurations of trainings that end in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.shards import shard_name, write_shard
from metric_depth_ros.types import CameraModel, Source, SparsePrompt


def example(seed: int, width: int = 96, height: int = 64) -> Example:
    """Return a tilted plane with a box before it, below a strip of sky; every pixel is exact."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[:height, :width].astype(np.float32)
    depth = (rng.uniform(2, 6) + rng.uniform(-0.02, 0.02) * u + 0.03 * v).astype(np.float32)
    x, y = rng.integers(10, width // 2), rng.integers(10, height // 2)
    depth[y : y + 16, x : x + 24] = 1.5
    depth[:4] = np.inf
    image = (255 / (1 + depth))[..., None] * rng.uniform(0.5, 1.0, 3)
    image = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    camera = CameraModel.pinhole(width, height, 80.0, 80.0, width / 2 - 0.5, height / 2 - 0.5)
    return Example(image, depth, camera, 'street', {'lidar': points(depth, rng, 60)})


def part_of(view: Example, size: tuple[int, int]) -> Example:
    """Return (rows, columns) of a view from its left border, without sensors."""
    rows, columns = slice(20, 20 + size[0]), slice(size[1])
    return replace(
        view, image=view.image[rows, columns], depth=view.depth[rows, columns], sensors={}
    )


def points(depth: np.ndarray, rng: np.random.Generator, count: int) -> SparsePrompt:
    """Return some pixels of a depth map as a LiDAR's."""
    pixel = rng.choice(np.flatnonzero(np.isfinite(depth)), count, replace=False)
    row, column = np.divmod(pixel, depth.shape[1])
    values = depth.reshape(-1)[pixel]
    return SparsePrompt(
        np.stack((column, row), 1).astype(np.float32),
        values,
        np.full(count, 0.02, np.float32),
        np.full(count, Source.LIDAR, np.uint8),
    )


def write_shards(folder: Path, count: int = 12, per_shard: int = 5, first: int = 0) -> Path:
    """Write examples into shards of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, count, per_shard)):
        named = (
            (f'{index:04d}', example(first + index))
            for index in range(start, min(start + per_shard, count))
        )
        write_shard(folder / shard_name(number), named)
    return folder


def write_config(folder: Path, **changes: object) -> Path:
    """Write shards and a configuration of a small compact training; `changes` replace keys."""
    shards = write_shards(folder / 'shards')
    content = {
        'recipe': 'compact',
        'steps': 6,
        'batch_size': 4,
        'network': {'widths': [4, 8, 8, 8, 8], 'blocks': [1, 1, 1, 1, 1]},
        'options': {'sizes': [[64, 64], [96, 64]]},
        'data': [{'path': str(shards)}],
        'optimizer': {'rate': 1e-3, 'warmup_steps': 2},
        'ema_decay': 0.9,
        'workers': 0,
        'every': {'log': 1, 'validate': 0, 'checkpoint': 3, 'pictures': 0, 'keep': 9},
    }
    path = folder / 'tiny.yaml'
    path.write_text(yaml.safe_dump({**content, **changes}), 'utf-8')
    return path
