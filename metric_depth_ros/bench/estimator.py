# SPDX-License-Identifier: Apache-2.0
"""The classical presets at 1216x352 with 20,000 points, against nearest filling.

The floor is the bare distance transform of the rasterized prompt and the look-up of its indices:
less work than the estimator `nearest`, which rasterizes too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from metric_depth_ros.bench.scene import random_prompt, street_like
from metric_depth_ros.bench.stopwatch import Row, race
from metric_depth_ros.estimators.registry import create_estimator


def run(rounds: int) -> list[Row]:
    """Time the presets on one frame, then at twice the width and height for their growth."""
    return [
        *_rows(1216, 352, 20_000, rounds, ''),
        *_rows(2432, 704, 20_000, rounds, ', 4x pixels'),
    ]


def _rows(width: int, height: int, points: int, rounds: int, suffix: str) -> list[Row]:
    scene = street_like(width, height)
    prompt = random_prompt(scene, points)
    frame = scene.frame(prompt)
    sparse = prompt.to_map(width, height)
    fast = create_estimator('classical:fast')
    quality = create_estimator('classical:quality')
    return race(
        {
            f'nearest filling{suffix}': lambda: _nearest_filling(sparse),
            f'classical:fast{suffix}': lambda: fast.estimate(frame),
            f'classical:quality{suffix}': lambda: quality.estimate(frame),
        },
        rounds,
        bars={f'classical:fast{suffix}': 3.0, f'classical:quality{suffix}': 9.0},
    )


def _nearest_filling(sparse: NDArray[np.float32]) -> NDArray[np.float32]:
    _, nearest = distance_transform_edt(np.isnan(sparse), return_indices=True)
    filled: NDArray[np.float32] = sparse[tuple(nearest)]
    return filled
