# SPDX-License-Identifier: Apache-2.0
"""
Training-free, image-guided depth completion; may import NumPy, OpenCV and its sibling modules.

Inverse depth is modeled, at a reduced resolution which follows the density of the prompt, as a
robust global plane, plus an edge-aware local plane per pixel, plus the smoothed residuals of the
points. ``docs/CLASSICAL.md`` derives it and compares it with the alternatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.estimators.classical.layout import (
    nearest_per_pixel,
    pixel_index,
    spacing,
)
from metric_depth_ros.estimators.classical.planes import global_plane, local_planes, splat
from metric_depth_ros.estimators.classical.smoothing import EdgeAwareSmoother, make_smoother

# Reach of the two kernels in spacings of the prompt.
PLANE_REACH = 0.7
RESIDUAL_REACH = 0.35
# Mass of a residual kernel, in points, below which the residual fades out.
RESIDUAL_MASS = 0.05
# Relative residual at which a point loses half of its weight. A point behind the surface around
# it is mostly one that the range sensor sees past an occluding edge and the camera does not; a
# point in front of it is mostly a thin object.
TOLERANCE_BEHIND = 0.10
TOLERANCE_FRONT = 0.50
# Relative error at which the confidence is one half.
CONFIDENT_ERROR = 0.10


@dataclass(frozen=True)
class Preset:
    """
    Trade of accuracy against time.

    Attributes
    ----------
    points_per_cell : float
        Spacing of the prompt in cells of the working resolution; more is finer.
    scale_range : tuple of float
        Smallest and largest cell size in image pixels.
    rounds : int
        Passes of the smoother.
    reweightings : int
        Robust refits of the local planes.
    """

    cells_per_spacing: float
    scale_range: tuple[float, float]
    rounds: int
    reweightings: int


PRESETS = {
    'quality': Preset(2.0, (2.0, 4.0), 2, 1),
    'fast': Preset(1.0, (3.5, 8.0), 1, 1),
}


def complete(
    image: NDArray[np.uint8],
    uv: NDArray[np.float32],
    depth: NDArray[np.float32],
    sigma: NDArray[np.float32],
    preset: str = 'quality',
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """
    Fill every pixel of an image with metric depth from a sparse or incomplete prompt.

    Parameters
    ----------
    image : NDArray[np.uint8]
        (H, W, 3) RGB.
    uv : NDArray[np.float32]
        (N, 2) pixel positions (x, y) of the prompt points; pixel centers at integers.
    depth : NDArray[np.float32]
        (N,) meters along the optical axis, positive and finite.
    sigma : NDArray[np.float32]
        (N,) one standard deviation of `depth`, meters.
    preset : str
        ``'quality'`` or ``'fast'``.

    Returns
    -------
    depth : NDArray[np.float32]
        (H, W) meters, positive; all NaN when the prompt is empty, for want of a metric scale.
    confidence : NDArray[np.float32]
        (H, W) in [0, 1]; all zero when the prompt is empty.

    Raises
    ------
    ValueError
        If the preset is unknown or the arrays do not fit together.
    """
    if preset not in PRESETS:
        raise ValueError(f'preset is {preset!r}; expected one of {", ".join(sorted(PRESETS))}')
    _check_shapes(image, uv, depth, sigma)
    shape = image.shape[:2]
    if depth.size == 0:
        return np.full(shape, np.nan, np.float32), np.zeros(shape, np.float32)
    kept = nearest_per_pixel(uv, depth, shape)
    uv, depth, sigma = uv[kept], depth[kept], sigma[kept]
    inverse, confidence = _solve(image, uv, 1.0 / depth.astype(np.float64), sigma / depth,
                                 PRESETS[preset])
    return 1.0 / inverse, confidence


def _solve(image, uv, inverse, noise, preset):
    shape = image.shape[:2]
    gaps = spacing(pixel_index(uv, shape), shape)
    scale = float(np.clip(np.sqrt(gaps[0] * gaps[1]) / preset.cells_per_spacing,
                          *preset.scale_range))
    small = tuple(max(round(n / scale), 1) for n in shape)
    guide = cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA)
    smoother = make_smoother(guide, preset.rounds)
    ratio = (small[1] / shape[1], small[0] / shape[0])
    x = (uv[:, 0].astype(np.float64) + 0.5) * ratio[0] - 0.5
    y = (uv[:, 1].astype(np.float64) + 0.5) * ratio[1] - 0.5
    cell = pixel_index(np.stack([x, y], 1), small)
    gap = tuple(max(g * r, 1.0) for g, r in zip(gaps, ratio))

    unit = max(small)
    nx, ny = x / unit, y / unit
    c = global_plane(nx, ny, inverse)
    trend = c[0] + c[1] * nx + c[2] * ny
    ground = (c[0] + c[1] * np.arange(small[1])[None] / unit
              + c[2] * np.arange(small[0])[:, None] / unit).astype(np.float32)
    low, high = np.float32(inverse.min()), np.float32(inverse.max())
    weight = np.ones_like(inverse)
    for step in range(preset.reweightings + 1):
        fit = local_planes(smoother, cell, (x, y), inverse - trend, weight, gap,
                           (PLANE_REACH * gap[0], PLANE_REACH * gap[1]), small)
        fit = np.clip(fit + ground, low, high)
        residual = inverse - _sample(fit, x, y)
        if step < preset.reweightings:
            rel = residual / inverse
            tol = np.where(rel < 0, TOLERANCE_BEHIND, TOLERANCE_FRONT)
            weight = 1.0 / (1.0 + (rel / tol) ** 4)
    one = np.ones_like(inverse)
    reach = (RESIDUAL_REACH * gap[0], RESIDUAL_REACH * gap[1])
    relative = (residual / inverse) ** 2
    mass, shift = smoother.smooth(splat(cell, weight, [one, residual], small), reach)
    per_point = 1.0 / (4.0 * reach[0] * reach[1])
    fit = np.clip(fit + shift / (mass + RESIDUAL_MASS * per_point), low, high)
    mass2, spread = smoother.smooth(splat(cell, one, [one, np.minimum(relative + noise**2, 1)], small),
                                    (2 * gap[0], 2 * gap[1]))
    spread = spread / np.maximum(mass2, 1e-30)
    near = mass / (mass + per_point)
    confidence = near / (1 + spread / CONFIDENT_ERROR**2)
    full = cv2.resize(fit, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return full, np.clip(cv2.resize(confidence, shape[::-1], interpolation=cv2.INTER_LINEAR), 0, 1)


def _sample(values: NDArray[np.float32], x, y) -> NDArray[np.float64]:
    """Bilinear values at points."""
    h, w = values.shape
    x = np.clip(x, 0, w - 1)
    y = np.clip(y, 0, h - 1)
    x0 = np.minimum(x.astype(np.intp), max(w - 2, 0))
    y0 = np.minimum(y.astype(np.intp), max(h - 2, 0))
    x1, y1 = np.minimum(x0 + 1, w - 1), np.minimum(y0 + 1, h - 1)
    fx, fy = x - x0, y - y0
    top = values[y0, x0] * (1 - fx) + values[y0, x1] * fx
    bottom = values[y1, x0] * (1 - fx) + values[y1, x1] * fx
    return top * (1 - fy) + bottom * fy


def _check_shapes(image, uv, depth, sigma) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f'image is {image.dtype} {image.shape}; expected uint8 (H, W, 3), RGB'
        )
    n = depth.size
    if depth.shape != (n,) or uv.shape != (n, 2) or sigma.shape != (n,):
        raise ValueError(
            f'uv {uv.shape}, depth {depth.shape} and sigma {sigma.shape} do not fit together; '
            'expected (N, 2), (N,) and (N,)'
        )
