# SPDX-License-Identifier: Apache-2.0
"""Sampling patterns over any dense depth: random points, grids, scan lines, blocks. No world.

May import types and NumPy. Pixels whose depth is not finite or not positive are never sampled.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.types import Source, SparsePrompt

_NEAREST_M = 1e-4
_SIGMA = {
    Source.UNKNOWN: (0.01, 0.002),
    Source.LIDAR: (0.02, 0.005),
    Source.LOW_RESOLUTION: (0.0, 0.02),
}


def valid(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which pixels have a depth that can be measured."""
    return np.isfinite(depth) & (depth > _NEAREST_M)


def at_pixels(
    depth: NDArray[np.float32],
    pixel: NDArray[np.integer],
    source: Source = Source.UNKNOWN,
) -> SparsePrompt:
    """Return the depth at flat row-major pixel numbers as a prompt."""
    row, column = np.divmod(pixel, depth.shape[1])
    values = depth.reshape(-1)[pixel].astype(np.float32, copy=False)
    return _prompt(column, row, values, source)


def random_points(
    depth: NDArray[np.float32], count: int, rng: np.random.Generator
) -> SparsePrompt:
    """Draw `count` valid pixels uniformly without replacement; all of them where fewer exist."""
    pixel = np.flatnonzero(valid(depth))
    if len(pixel) > count:
        pixel = rng.choice(pixel, count, replace=False, shuffle=False)
    return at_pixels(depth, pixel)


def grid(depth: NDArray[np.float32], factor: float, corners_aligned: bool = True) -> SparsePrompt:
    """Sample a depth map that is `factor` times smaller on each side.

    Holes are filled with the nearest depth, the map is resized bilinearly without smoothing, and
    each cell is put at the pixel where it starts (source: Prior Depth Anything's sampler).

    Parameters
    ----------
    depth
        (H, W) meters.
    factor
        Ratio of the sizes.
    corners_aligned
        True: the corner pixels of both maps lie on each other, and cell i starts at i H / h.
        False: their borders do, and the cell is put at its center, (i + 1/2) H / h.
    """
    known = valid(depth)
    height, width = depth.shape
    rows, columns = int(height // factor), int(width // factor)
    if not known.any() or not rows or not columns:
        return SparsePrompt.empty()
    shift = 0.0 if corners_aligned else 0.5
    row = ((np.arange(rows) + shift) * height / rows).astype(np.intp)
    column = ((np.arange(columns) + shift) * width / columns).astype(np.intp)
    small = _resized(_filled(depth, known), rows, columns, corners_aligned)
    keep = known[row[:, None], column]
    v, u = np.broadcast_arrays(row[:, None], column)
    return _prompt(u[keep], v[keep], small[keep], Source.LOW_RESOLUTION)


def scan_lines(
    depth: NDArray[np.float32],
    lines: int,
    shots: int = 200,
    half_height_rad: float = 0.5,
    tilt_rad: float = 0.0,
) -> SparsePrompt:
    """Sample along the lines of a virtual scanner at the camera.

    Its camera has f = H and c = (W/2, H/2), whatever the true one; yaw spans +-pi/2.1 (source:
    Prior Depth Anything's sampler).

    Parameters
    ----------
    depth
        (H, W) meters.
    lines, shots
        Number of lines, and of shots along each.
    half_height_rad
        The lines are spread evenly over this pitch up and down.
    tilt_rad
        Roll of the scanner around the optical axis.
    """
    height, width = depth.shape
    pitch = np.linspace(-half_height_rad, half_height_rad, lines)[:, None]
    yaw = np.linspace(-math.pi / 2.1, math.pi / 2.1, shots)
    x, y = np.cos(pitch) * np.sin(yaw), np.sin(pitch) * np.ones_like(yaw)
    z = np.sqrt(1.0 - x * x - y * y)
    cosine, sine = math.cos(tilt_rad), math.sin(tilt_rad)
    right, down = cosine * x - sine * y, sine * x + cosine * y
    column = np.round((height * right + width / 2 * z) / (z + 1e-8)).astype(np.intp)
    row = np.round((height * down + height / 2 * z) / (z + 1e-8)).astype(np.intp)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    pixel = np.unique(row[inside] * width + column[inside])
    return at_pixels(depth, pixel[valid(depth).reshape(-1)[pixel]], Source.LIDAR)


def block_mask(
    shape: tuple[int, int], share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Cover a share of the image with random squares of 1/40 to 3/20 of its width.

    Returns
    -------
    NDArray[np.bool_]
        (H, W), True where covered; the last square may exceed the share.
    """
    height, width = shape
    mask = np.zeros(shape, np.bool_)
    while mask.mean() < share:
        side = max(1, round(width * rng.uniform(0.025, 0.15)))
        top, left = rng.integers(1 - side, height), rng.integers(1 - side, width)
        mask[max(top, 0) : top + side, max(left, 0) : left + side] = True
    return mask


def _prompt(
    column: NDArray[np.integer],
    row: NDArray[np.integer],
    depth: NDArray[np.float32],
    source: Source,
) -> SparsePrompt:
    sigma_m, sigma_rel = _SIGMA[source]
    sigma = np.hypot(np.float32(sigma_m), np.float32(sigma_rel) * depth)
    uv = np.stack((column, row), axis=-1).astype(np.float32)
    return SparsePrompt(uv, depth, sigma, np.full(len(depth), source, np.uint8))


def _filled(depth: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the depth with every hole filled by its nearest valid pixel."""
    if known.all():
        return depth.astype(np.float32, copy=False)
    _, label = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    value = np.zeros(int(label.max()) + 1, np.float32)
    value[label[known]] = depth[known]
    return value[label]


def _resized(
    depth: NDArray[np.float32], rows: int, columns: int, corners_aligned: bool
) -> NDArray[np.float32]:
    """Resize bilinearly without smoothing; corner pixels or image borders lie on each other."""
    if not corners_aligned:
        return cv2.resize(depth, (columns, rows), interpolation=cv2.INTER_LINEAR)
    height, width = depth.shape
    row = _interpolated(depth, np.linspace(0.0, height - 1.0, rows))
    return _interpolated(row.T, np.linspace(0.0, width - 1.0, columns)).T


def _interpolated(
    values: NDArray[np.float32], position: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return rows between the rows of an array; cv2.remap knows positions to 1/32 only."""
    low = np.minimum(position.astype(np.intp), len(values) - 1)
    high = np.minimum(low + 1, len(values) - 1)
    share = (position - low).astype(np.float32)[:, None]
    return values[low] * (1.0 - share) + values[high] * share
