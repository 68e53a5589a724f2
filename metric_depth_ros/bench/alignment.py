# SPDX-License-Identifier: Apache-2.0
"""Alignment at 1216x352 with 20,000 prompts, against the k-d tree query of its grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from metric_depth_ros.bench.scene import random_prompt, street_like
from metric_depth_ros.bench.stopwatch import Row, race
from metric_depth_ros.estimators.alignment import (
    global_alignment,
    inverse_depth,
    pixel_alignment,
    prompt_tensor,
)

_WIDTH, _HEIGHT, _POINTS = 1216, 352, 20_000
_GPU_LIMIT_MS = 3.0  # on an H200


def run(rounds: int) -> list[Row]:
    """Time the alignment on the CPU, and on the GPU where there is one."""
    prior, prompt = _inputs()
    rows = race(
        {
            'cKDTree query (k=5) of the stride-4 grid': _grid_query(prompt),
            'PDSA, fast': lambda: pixel_alignment(prior, prompt),
            'PDSA, exact': lambda: pixel_alignment(prior, prompt, stride=1),
            'GMDR, global': lambda: global_alignment(prior, prompt),
            'GMDR, lwlr': lambda: global_alignment(prior, prompt, mode='lwlr'),
            'prompt tensor': lambda: prompt_tensor(prior, prompt),
        },
        rounds,
        bars={'PDSA, fast': 4.0},
    )
    if torch.cuda.is_available():
        rows += _gpu_rows(prior.cuda(), prompt.cuda(), rounds)
    return rows


def _inputs() -> tuple[Tensor, Tensor]:
    """Return prior inverse depth and prompt depth, (1, H, W) each."""
    scene = street_like(_WIDTH, _HEIGHT)
    prompt = random_prompt(scene, _POINTS).to_map(_WIDTH, _HEIGHT)
    prior_depth = torch.from_numpy(1.7 * scene.depth**0.8 + 0.2)
    return inverse_depth(prior_depth)[None], torch.from_numpy(prompt)[None]


def _grid_query(prompt: Tensor) -> Callable[[], object]:
    tree = cKDTree(np.argwhere(prompt[0].numpy() > 0.0))
    row, column = np.mgrid[1.5:_HEIGHT:4, 1.5:_WIDTH:4]
    grid = np.stack((row.ravel(), column.ravel()), axis=-1)
    return lambda: tree.query(grid, k=5)


def _gpu_rows(prior: Tensor, prompt: Tensor, rounds: int) -> list[Row]:
    """Time with the device idle before and after every call."""
    three = prior.expand(3, -1, -1).contiguous(), prompt.expand(3, -1, -1).contiguous()

    def finished(call: Callable[[], object]) -> Callable[[], None]:
        def wait() -> None:
            call()
            torch.cuda.synchronize()

        return wait

    rows = race(
        {
            'PDSA, fast, GPU': finished(lambda: pixel_alignment(prior, prompt)),
            'PDSA, fast, GPU, 3 cameras': finished(lambda: pixel_alignment(*three)),
            'PDSA, exact, GPU': finished(lambda: pixel_alignment(prior, prompt, stride=1)),
            'GMDR, global, GPU': finished(lambda: global_alignment(prior, prompt)),
            'prompt tensor, GPU': finished(lambda: prompt_tensor(prior, prompt)),
        },
        rounds,
    )
    if 'H200' not in torch.cuda.get_device_name():  # the limit holds on no other machine
        return rows
    fast = rows[0]
    limit = Row(
        fast.name,
        fast.p50_ms,
        fast.p99_ms,
        f'{_GPU_LIMIT_MS:g} ms, the limit on an H200',
        fast.p50_ms / _GPU_LIMIT_MS,
        1.0,
    )
    return [limit, *rows[1:]]
