# SPDX-License-Identifier: Apache-2.0
"""The estimators for a CPU at 1216x352 with 20,000 points, against nearest filling.

The floor is the bare distance transform of the rasterized prompt and the look-up of its indices:
less work than the estimator `nearest`, which rasterizes too. The compact teacher has random
weights where none are given or shipped: its speed does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from metric_depth_ros.bench.model_networks import find_subject
from metric_depth_ros.bench.scene import Scene, random_prompt, street_like
from metric_depth_ros.bench.stopwatch import Row, race
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.learned.shipped import manifest
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator

COMPACT = 'compact_teacher'

_POINTS = 20_000
_BARS = {
    'classical:fast': 3.0,
    'classical:quality': 9.0,
    COMPACT: 17.0,
}


def run(rounds: int, weights: str = '') -> list[Row]:
    """Time them on one frame, then the presets at twice the width and height for their growth.

    Parameters
    ----------
    rounds
        Calls of each candidate.
    weights
        Checkpoint of the compact teacher; empty for the shipped or else random ones.
    """
    scene = street_like(1216, 352)
    presets = _presets()
    with TemporaryDirectory() as folder:
        weights = weights or _shipped_or_random(Path(folder))
        compact = {
            COMPACT: _compact(weights),
            f'{COMPACT}, fp32': _compact(weights, 'fp32'),
        }
    return [
        *_rows(scene, presets | compact, rounds, ''),
        *_rows(street_like(2432, 704), presets, rounds, ', 4x pixels'),
    ]


def _presets() -> dict[str, Estimator]:
    names = ('classical:fast', 'classical:quality')
    return {name: create_estimator(name) for name in names}


def _compact(weights: str, precision: str = 'auto') -> Estimator:
    options = EstimatorOptions(device='cpu', weights=weights, precision=precision)
    return create_estimator(COMPACT, options)


def _shipped_or_random(folder: Path) -> str:
    """Return no weights, for the shipped ones, or a file with random ones."""
    if COMPACT in manifest():
        return ''
    path = folder / f'{COMPACT}.pt'
    torch.save({'model': find_subject(COMPACT, 'released').make().state_dict()}, path)
    return str(path)


def _rows(
    scene: Scene, estimators: Mapping[str, Estimator], rounds: int, suffix: str
) -> list[Row]:
    prompt = random_prompt(scene, _POINTS)
    frame = scene.frame(prompt)
    height, width = scene.depth.shape
    sparse = prompt.to_map(width, height)
    calls: dict[str, Callable[[], object]] = {
        f'{name}{suffix}': partial(estimator.estimate, frame)
        for name, estimator in estimators.items()
    }
    return race(
        {f'nearest filling{suffix}': lambda: _nearest_filling(sparse), **calls},
        rounds,
        bars={f'{name}{suffix}': bar for name, bar in _BARS.items()},
    )


def _nearest_filling(sparse: NDArray[np.float32]) -> NDArray[np.float32]:
    _, nearest = distance_transform_edt(np.isnan(sparse), return_indices=True)
    filled: NDArray[np.float32] = sparse[tuple(nearest)]
    return filled
