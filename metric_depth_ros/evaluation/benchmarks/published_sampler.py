# SPDX-License-Identifier: Apache-2.0
"""The published sampler of evaluation prompts, to the pixel. Torch, SciPy.

Training draws from `simulation.sensors`, whose patterns vary; results that are to be compared
with the papers' tables need just these pixels. Depth not above 0.1 mm is none.

Source: Prior-Depth-Anything (arXiv:2505.10565), sparse_sampler.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch.nn.functional import interpolate

NEAREST_M = 1e-4
NEIGHBORS = 5
RANGE_POINTS = 2000  # of patterns that say where, not how many

Pixels = NDArray[np.int64]  # row-major numbers


class Samples(NamedTuple):
    """Pixels with their depth in meters."""

    pixel: Pixels
    depth: NDArray[np.float32]


def valid_pixels(depth: NDArray[np.float32]) -> Pixels:
    """Return the pixels that have a depth."""
    return np.flatnonzero(depth > NEAREST_M)


def random_pixels(pixels: Pixels, count: int, generator: torch.Generator | None = None) -> Pixels:
    """Return so many of some pixels, uniformly, or all where there are fewer.

    Parameters
    ----------
    generator
        Of torch's random numbers; None for its default one.
    """
    order = torch.randperm(len(pixels), generator=generator)[:count]
    return pixels[order.numpy()]


def pixels_in_range(depth: NDArray[np.float32], near_m: float, far_m: float) -> Pixels:
    """Return the pixels strictly between two depths."""
    return np.flatnonzero((depth > NEAREST_M) & (depth > near_m) & (depth < far_m))


def pixels_outside_square(depth: NDArray[np.float32], row: int, column: int, side: int) -> Pixels:
    """Return the pixels with a depth outside a square hole."""
    known = depth > NEAREST_M
    known[row : row + side, column : column + side] = False
    return np.flatnonzero(known)


def downscaled(depth: NDArray[np.float32], factor: int) -> Samples:
    """Return what a map `factor` times smaller says, at the pixels where its cells begin.

    Holes are filled with the mean of the five nearest depths first; a cell counts where the
    original has a depth at that pixel. Of fewer depths, or of a map that has no room for a cell,
    there are no samples; the published code ends in an error there.
    """
    height, width = depth.shape
    if len(valid_pixels(depth)) < NEIGHBORS or min(height, width) < factor:
        return Samples(np.empty(0, np.int64), np.empty(0, np.float32))
    small = _resized(_filled(depth), (height // factor, width // factor))
    samples = scattered(small, depth.shape)
    keep = depth.reshape(-1)[samples.pixel] > NEAREST_M
    return Samples(samples.pixel[keep], samples.depth[keep])


def scattered(small: NDArray[np.float32], shape: tuple[int, int]) -> Samples:
    """Put each value of a small map at the pixel of a large one where its cell begins."""
    rows, columns = (
        # In single precision, as published: some rows are one higher than exact arithmetic says.
        (np.arange(cells, dtype=np.float32) * np.float32(side / cells)).astype(np.int64)
        for side, cells in zip(shape, small.shape, strict=True)
    )
    pixel = (rows[:, None] * shape[1] + columns).reshape(-1)
    keep = small.reshape(-1) > NEAREST_M
    return Samples(pixel[keep], small.reshape(-1)[keep])


def _filled(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    known = depth > NEAREST_M
    if known.all():
        return depth
    _, nearest = cKDTree(np.argwhere(known)).query(np.argwhere(~known), k=NEIGHBORS)
    filled = depth.copy()
    filled[~known] = depth[known][nearest].mean(axis=1)
    return filled


def _resized(depth: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    maps = torch.from_numpy(np.ascontiguousarray(depth))[None, None]
    small = interpolate(maps, size, mode='bilinear', align_corners=True)
    resized: NDArray[np.float32] = small[0, 0].numpy()
    return resized
