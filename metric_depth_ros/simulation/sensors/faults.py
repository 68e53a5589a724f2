# SPDX-License-Identifier: Apache-2.0
"""Faults of any prompt: points that are missing, points that are wrong. May import types."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.types import SparsePrompt


def keep_share(prompt: SparsePrompt, share: float, rng: np.random.Generator) -> SparsePrompt:
    """Keep each point with a chance of `share`."""
    return prompt.subset(rng.random(len(prompt)) < share)


def drop_under(prompt: SparsePrompt, mask: NDArray[np.bool_]) -> SparsePrompt:
    """Drop the points that fall on a mask (H, W)."""
    column, row = np.rint(prompt.uv).astype(np.intp).T
    inside = (column.clip(0, mask.shape[1] - 1), row.clip(0, mask.shape[0] - 1))
    return prompt.subset(~mask[inside[1], inside[0]])


def keep_lattice(prompt: SparsePrompt, step_px: float) -> SparsePrompt:
    """Keep the points on every `step_px`-th row and column.

    So looks the image of a smaller depth camera that was moved to the color camera point by
    point: at steps between 1 and 2 a fabric of dense and empty rows.
    """
    off = np.abs(np.rint(np.rint(prompt.uv / step_px) * step_px) - prompt.uv)
    return prompt.subset((off[:, 0] < 0.5) & (off[:, 1] < 0.5))


def shift(
    prompt: SparsePrompt, by_px: NDArray[np.floating], size: tuple[int, int]
) -> SparsePrompt:
    """Move all points by (du, dv), as a wrong registration does; drop what leaves the image."""
    moved = prompt.uv + np.asarray(by_px, np.float32)
    u, v = moved.T
    inside = (u > -0.5) & (u < size[0] - 0.5) & (v > -0.5) & (v < size[1] - 0.5)
    return replace(prompt, uv=moved).subset(inside)


def misplace(prompt: SparsePrompt, share: float, rng: np.random.Generator) -> SparsePrompt:
    """Replace the depth of a share of the points by any depth of the scene, and some beyond.

    All factors of depth are equally likely, or all depths are: one of the two for a prompt.
    """
    if not len(prompt):
        return prompt
    wrong = rng.random(len(prompt)) < share
    near, far = np.quantile(prompt.depth, (0.02, 0.98)) * (0.5, 2.0)
    chance = rng.random(len(prompt))
    by_factor, by_depth = near * (far / near) ** chance, near + (far - near) * chance
    anywhere = (by_factor if rng.random() < 0.5 else by_depth).astype(np.float32)
    depth = np.where(wrong, anywhere, prompt.depth)
    return SparsePrompt(prompt.uv, depth, prompt.sigma, prompt.source)


def add_noise(prompt: SparsePrompt, relative: float, rng: np.random.Generator) -> SparsePrompt:
    """Multiply every depth by its own factor around 1; the prompt does not know."""
    factor = np.exp(relative * rng.standard_normal(len(prompt))).astype(np.float32)
    return SparsePrompt(prompt.uv, prompt.depth * factor, prompt.sigma, prompt.source)
