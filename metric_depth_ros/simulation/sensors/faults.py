# SPDX-License-Identifier: Apache-2.0
"""Faults of any prompt: points that are missing, points that are wrong. May import types."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.types import SparsePrompt


def keep(prompt: SparsePrompt, kept: NDArray[np.bool_]) -> SparsePrompt:
    """Return the points where `kept` (N,) is True."""
    return SparsePrompt(
        prompt.uv[kept], prompt.depth[kept], prompt.sigma[kept], prompt.source[kept]
    )


def keep_share(prompt: SparsePrompt, share: float, rng: np.random.Generator) -> SparsePrompt:
    """Keep each point with a chance of `share`."""
    return keep(prompt, rng.random(len(prompt)) < share)


def drop_under(prompt: SparsePrompt, mask: NDArray[np.bool_]) -> SparsePrompt:
    """Drop the points that fall on a mask (H, W)."""
    column, row = np.rint(prompt.uv).astype(np.intp).T
    inside = (column.clip(0, mask.shape[1] - 1), row.clip(0, mask.shape[0] - 1))
    return keep(prompt, ~mask[inside[1], inside[0]])


def misplace(prompt: SparsePrompt, share: float, rng: np.random.Generator) -> SparsePrompt:
    """Replace the depth of a share of the points by any depth of the scene, and some beyond."""
    if not len(prompt):
        return prompt
    wrong = rng.random(len(prompt)) < share
    near, far = np.quantile(prompt.depth, (0.02, 0.98))
    low, high = math.log(0.5 * near), math.log(2.0 * far)
    anywhere = np.exp(rng.uniform(low, high, len(prompt))).astype(np.float32)
    depth = np.where(wrong, anywhere, prompt.depth)
    return SparsePrompt(prompt.uv, depth, prompt.sigma, prompt.source)


def add_noise(prompt: SparsePrompt, relative: float, rng: np.random.Generator) -> SparsePrompt:
    """Multiply every depth by its own factor around 1; the prompt does not know."""
    factor = np.exp(relative * rng.standard_normal(len(prompt))).astype(np.float32)
    return SparsePrompt(prompt.uv, prompt.depth * factor, prompt.sigma, prompt.source)
