# SPDX-License-Identifier: Apache-2.0
"""
Planes through prompt points: one robust global plane, and one edge-aware plane per pixel.

A plane in space is linear in inverse depth over the image, hence all fits are made there. May
import NumPy and this package's smoothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.estimators.classical.smoothing import EdgeAwareSmoother

# Shrinkage of local slopes, in squared spacings: a slope is trusted when the points around a
# pixel spread over more than about sqrt(0.03) = 0.17 spacings.
SLOPE_RIDGE = 0.03
# Shrinkage of the global slopes, in squared half image widths, for prompts on a line or a dot.
GLOBAL_RIDGE = 1e-3
GLOBAL_STEPS = 5


def global_plane(
    x: NDArray[np.float64], y: NDArray[np.float64], value: NDArray[np.float64]
) -> NDArray[np.float64]:
    """
    Fit one plane to all points, robustly (iteratively reweighted, Cauchy weights).

    Parameters
    ----------
    x, y, value : NDArray[np.float64]
        (N,) positions in units of the image size, and values.

    Returns
    -------
    NDArray[np.float64]
        (3,) coefficients of ``c0 + c1 * x + c2 * y``.
    """
    design = np.stack([np.ones_like(x), x, y], axis=1)
    ridge = np.diag([0.0, 1.0, 1.0]) * GLOBAL_RIDGE
    weight = np.full(x.size, 1.0 / x.size)
    plane = np.array([np.median(value), 0.0, 0.0])
    for _ in range(GLOBAL_STEPS):
        weighted = design * weight[:, None]
        normal = design.T @ weighted + ridge * weight.sum()
        plane = np.linalg.solve(normal, weighted.T @ value)
        residual = np.abs(value - design @ plane)
        scale = 2.0 * np.median(residual) + 1e-6 * np.abs(value).max()
        weight = 1.0 / (1.0 + (residual / scale) ** 2) / x.size
    return plane


def local_planes(
    smoother: EdgeAwareSmoother,
    cell: NDArray[np.intp],
    position: tuple[NDArray[np.float64], NDArray[np.float64]],
    value: NDArray[np.float64],
    weight: NDArray[np.float64],
    spacing: tuple[float, float],
    reach: tuple[float, float],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """
    Evaluate at every pixel the plane which fits the points around it best.

    Moving least squares with the smoother as the kernel: its output at a pixel is a weighted sum
    over the points that image edges do not separate from the pixel, so smoothing the moments of
    the points yields the normal equations of all pixels at once.

    Parameters
    ----------
    smoother : EdgeAwareSmoother
        Kernel.
    cell : NDArray[np.intp]
        (N,) raster index of the pixel of each point.
    position : tuple of NDArray[np.float64]
        (N,) x and (N,) y in pixels.
    value, weight : NDArray[np.float64]
        (N,) values and non-negative weights.
    spacing : tuple of float
        Spacing of the points along x and y in pixels; unit of length of the slopes.
    reach : tuple of float
        Reach of the kernel in pixels.
    shape : tuple of int
        Height and width of the result.

    Returns
    -------
    NDArray[np.float32]
        (H, W) values; 0 where no point is in reach at all.
    """
    height, width = shape
    # Centered coordinates keep the second moments small enough for float32.
    x = (position[0] - (width - 1) / 2) / spacing[0]
    y = (position[1] - (height - 1) / 2) / spacing[1]
    moments = splat(
        cell, weight, [np.ones_like(x), x, y, x * x, x * y, y * y, value, x * value, y * value],
        shape,
    )
    mass, *sums = smoother.smooth(moments, reach)
    inverse = 1.0 / np.maximum(mass, np.finfo(np.float32).tiny)
    mx, my, mxx, mxy, myy, mv, mxv, myv = (s * inverse for s in sums)
    vxx = mxx - mx * mx + np.float32(SLOPE_RIDGE)
    vyy = myy - my * my + np.float32(SLOPE_RIDGE)
    vxy, vxv, vyv = mxy - mx * my, mxv - mx * mv, myv - my * mv
    determinant = np.maximum(vxx * vyy - vxy * vxy, np.float32(SLOPE_RIDGE**2))
    grid_x = ((np.arange(width) - (width - 1) / 2) / spacing[0]).astype(np.float32)[None, :]
    grid_y = ((np.arange(height) - (height - 1) / 2) / spacing[1]).astype(np.float32)[:, None]
    rise_x = (vyy * vxv - vxy * vyv) * (grid_x - mx)
    rise_y = (vxx * vyv - vxy * vxv) * (grid_y - my)
    return mv + (rise_x + rise_y) / determinant


def splat(
    cell: NDArray[np.intp],
    weight: NDArray[np.float64],
    values: list[NDArray[np.float64]],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """
    Sum weighted point values per pixel.

    Parameters
    ----------
    cell : NDArray[np.intp]
        (N,) raster indices.
    weight : NDArray[np.float64]
        (N,) weights.
    values : list of NDArray[np.float64]
        C arrays (N,).
    shape : tuple of int
        Height and width.

    Returns
    -------
    NDArray[np.float32]
        (C, H, W).
    """
    size = shape[0] * shape[1]
    stack = np.empty((len(values), size), np.float32)
    for channel, value in zip(stack, values, strict=True):
        channel[:] = np.bincount(cell, weight * value, size)
    return stack.reshape(len(values), *shape)
