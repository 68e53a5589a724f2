# SPDX-License-Identifier: Apache-2.0
"""Planes through prompt points: one global plane, and one edge-aware plane per cell.

A plane in space is linear in inverse depth over the image, hence all fits are made there. May
import NumPy and this package's grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.estimators.classical.grid import PromptGrid

# Reach of the kernel of the local planes, in spacings of the prompt.
PLANE_REACH = 0.6
# Shrinkage of local slopes, in squared spacings: a slope is believed where the points around a
# cell spread over more than about sqrt(0.03) = 0.17 spacings.
SLOPE_RIDGE = 0.03
# Distance in spacings from the center of the image up to which single precision will do: the
# spread of the points around a cell is a small difference of squared distances, and the rounding
# of these must stay well below the ridge.
WIDEST_IN_SINGLE = 500.0
# Distance in spacings from the center of its points to which a local plane is followed; beyond,
# its slope fades out, because a small error of the slope grows with the distance.
LEVER = 3.0

# Shrinkage of the global slopes, in squared image sizes: the first for points on a line or in a
# dot, the second times the share of the variance which the plane leaves unexplained, so that
# only a scene which is close to a plane is continued as one.
DEGENERATE_RIDGE = 1e-5
UNEXPLAINED_RIDGE = 1.0


@dataclass(frozen=True)
class GlobalPlane:
    """Inverse depth as a linear function of the position, ``offset + slope_x x + slope_y y``.

    Attributes
    ----------
    offset, slope_x, slope_y : float
        Coefficients, 1/m; positions run from -1/2 to 1/2 over the image.
    """

    offset: float
    slope_x: float
    slope_y: float

    def on_raster(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Inverse depth at the centers of an (H, W) raster over the image."""
        x = _relative(np.arange(shape[1], dtype=np.float64), shape[1]) * self.slope_x
        y = _relative(np.arange(shape[0], dtype=np.float64), shape[0]) * self.slope_y
        return (self.offset + x).astype(np.float32) + y.astype(np.float32)[:, None]

    def at(self, grid: PromptGrid) -> NDArray[np.float64]:
        """Inverse depth at the points of a grid."""
        x = _relative(grid.x, grid.shape[1]) * self.slope_x
        y = _relative(grid.y, grid.shape[0]) * self.slope_y
        return self.offset + x + y


def fit_global_plane(grid: PromptGrid, inverse: NDArray[np.float64]) -> GlobalPlane:
    """Fit one plane to all points, as far as they lie on one.

    Parameters
    ----------
    grid : PromptGrid
        Points.
    inverse : NDArray[np.float64]
        (N,) inverse depth, 1/m.

    Returns
    -------
    GlobalPlane
        The plane, the flatter the less of the variance it explains.
    """
    offset = float(inverse.mean())
    position = np.stack([_relative(grid.x, grid.shape[1]), _relative(grid.y, grid.shape[0])])
    center = position.mean(axis=1)
    position = position - center[:, None]
    target = inverse - offset
    normal = position @ position.T / target.size
    moment = position @ target / target.size
    slopes = np.linalg.solve(normal + DEGENERATE_RIDGE * np.eye(2), moment)
    variance = float(np.mean(target**2))
    left = float(np.mean((target - slopes @ position) ** 2))
    if left > 0.0:
        ridge = DEGENERATE_RIDGE + UNEXPLAINED_RIDGE * left / variance
        slopes = np.linalg.solve(normal + ridge * np.eye(2), moment)
    return GlobalPlane(offset - float(slopes @ center), float(slopes[0]), float(slopes[1]))


def _relative(position: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Position of raster centers over the image, -1/2 at the first border, 1/2 at the last."""
    return (position + 0.5) / length - 0.5


def fit_local_planes(
    grid: PromptGrid, value: NDArray[np.float64], weight: NDArray[np.float64], rounds: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Evaluate at every cell the plane which fits the points around it best.

    Moving least squares with the edge-aware smoother as the kernel: its output at a cell is a sum
    over the points which no image edge separates from the cell, so smoothing the moments of the
    points yields the normal equations of all cells at once.

    Parameters
    ----------
    grid : PromptGrid
        Points.
    value, weight : NDArray[np.float64]
        (N,) values to fit and their weights.
    rounds : int
        Passes of the smoother.

    Returns
    -------
    fit : NDArray[np.float32]
        (H, W); 0 where no point is in reach at all.
    mass : NDArray[np.float32]
        (H, W) summed weight of the points in reach.
    """
    height, width = grid.shape
    # Coordinates from the center in spacings keep the second moments small.
    x = (grid.x - (width - 1) / 2) / grid.spacing[0]
    y = (grid.y - (height - 1) / 2) / grid.spacing[1]
    moments = [x, y, x * x, x * y, y * y, value, x * value, y * value]
    farthest = max(width / grid.spacing[0], height / grid.spacing[1]) / 2
    dtype = np.float32 if farthest <= WIDEST_IN_SINGLE else np.float64
    mass, *sums = grid.spread(weight, moments, PLANE_REACH, rounds, dtype)
    scale = 1.0 / np.maximum(mass, np.finfo(np.float32).tiny)
    mx, my, mxx, mxy, myy, mv, mxv, myv = (s * scale for s in sums)
    ridge = dtype(SLOPE_RIDGE)
    vxx, vyy, vxy = mxx - mx * mx + ridge, myy - my * my + ridge, mxy - mx * my
    vxv, vyv = mxv - mx * mv, myv - my * mv
    # The mean of a cell is taken at the center of its points, the slope leads from there.
    row, column = np.ogrid[:height, :width]
    dx = ((column - (width - 1) / 2) / grid.spacing[0]).astype(dtype) - mx
    dy = ((row - (height - 1) / 2) / grid.spacing[1]).astype(dtype) - my
    rise = (vyy * vxv - vxy * vyv) * dx + (vxx * vyv - vxy * vxv) * dy
    # Rounding may push the determinant below its smallest possible value, ridge squared.
    determinant = np.maximum(vxx * vyy - vxy * vxy, ridge * ridge)
    lever = (dx * dx + dy * dy) * dtype(1.0 / LEVER**2)
    fit = mv + rise / (determinant * (1.0 + lever * lever))
    return fit.astype(np.float32, copy=False), mass.astype(np.float32, copy=False)
