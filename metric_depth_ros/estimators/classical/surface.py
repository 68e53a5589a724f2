# SPDX-License-Identifier: Apache-2.0
"""The surface in inverse depth which a prompt describes, fitted robustly.

May import NumPy, OpenCV and this package's grid and planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.estimators.classical.grid import PromptGrid
from metric_depth_ros.estimators.classical.planes import (
    GlobalPlane,
    fit_global_plane,
    fit_local_planes,
)

# Relative noise of the model itself: a point is weighted by how its own noise compares with it.
MODEL_NOISE = 0.01
# Relative residual at which a point loses half of its weight. A point behind the surface around
# it is mostly one which the range sensor sees past an occluding edge and the camera does not; a
# point in front of it is mostly a thin object. Three standard deviations of noise are tolerated.
TOLERANCE_BEHIND = 0.10
TOLERANCE_FRONT = 0.50
NOISE_TOLERANCE = 3.0
# Far gaps narrower than this many spacings are below the resolution of the prompt; what shows
# through them is mostly seen past an edge, too.
CLOSING = 0.8
# In cells: a few points in a large image would make the kernel, and the time, as large as it is.
WIDEST_CLOSING = 32
# Reach of the residual kernel in spacings, and the share of a point's mass at which it fades.
RESIDUAL_REACH = 0.35
RESIDUAL_FADE = 0.05


@dataclass(frozen=True)
class Surface:
    """Fitted inverse depth.

    Attributes
    ----------
    ground : GlobalPlane
        Global plane.
    relief : NDArray[np.float32]
        (H, W) difference to the global plane on the working grid, 1/m.
    mass : NDArray[np.float32]
        (H, W) summed weight of the points in reach.
    weight : NDArray[np.float64]
        (N,) weight of each point, in [0, 1].
    misfit : NDArray[np.float64]
        (N,) relative residual of each point before the residuals were added back.
    """

    ground: GlobalPlane
    relief: NDArray[np.float32]
    mass: NDArray[np.float32]
    weight: NDArray[np.float64]
    misfit: NDArray[np.float64]


def fit_surface(
    grid: PromptGrid,
    inverse: NDArray[np.float64],
    noise: NDArray[np.float64],
    reweightings: int,
    rounds: int,
) -> Surface:
    """Fit a global plane, then local planes, then spread what is left.

    Parameters
    ----------
    grid : PromptGrid
        Points.
    inverse : NDArray[np.float64]
        (N,) inverse depth, 1/m.
    noise : NDArray[np.float64]
        (N,) relative standard deviation.
    reweightings : int
        Robust refits of the local planes.
    rounds : int
        Passes of the smoother in the last fit; one does for the weights of the points.

    Returns
    -------
    Surface
        The surface; its relief stays within the range of the prompt.
    """
    ground = fit_global_plane(grid, inverse)
    trend, base = ground.at(grid), ground.on_raster(grid.shape)
    low, high = float(inverse.min()), float(inverse.max())
    weight = precision(noise)
    for remaining in range(reweightings, -1, -1):
        planes, mass = fit_local_planes(grid, inverse - trend, weight, 1 if remaining else rounds)
        relief = _close_gaps(np.clip(base + planes, low, high), grid) - base
        residual = inverse - trend - grid.sample(relief)
        if remaining:
            weight = point_weight(residual / inverse, noise)
    return Surface(
        ground,
        relief + _spread_residual(grid, residual, weight),
        mass,
        weight,
        residual / inverse,
    )


def _close_gaps(inverse: NDArray[np.float32], grid: PromptGrid) -> NDArray[np.float32]:
    """Fill far gaps which are narrower than the prompt resolves (morphological closing)."""
    radius_x, radius_y = (min(round(CLOSING * gap / 2), WIDEST_CLOSING) for gap in grid.spacing)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_x + 1, 2 * radius_y + 1))
    # Slopes go on past the border, or closing would take the far side of a slope for a gap.
    margin = ((2 * radius_y, 2 * radius_y), (2 * radius_x, 2 * radius_x))
    padded = np.pad(inverse, margin, mode='reflect', reflect_type='odd')
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel).reshape(padded.shape)
    height, width = inverse.shape
    return closed[margin[0][0] : margin[0][0] + height, margin[1][0] : margin[1][0] + width]


def point_weight(misfit: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weigh points by their noise, and down if they lie far from the surface.

    Parameters
    ----------
    misfit : NDArray[np.float64]
        (N,) residual relative to inverse depth; negative behind the surface.
    noise : NDArray[np.float64]
        (N,) relative standard deviation.

    Returns
    -------
    NDArray[np.float64]
        (N,) in [0, 1].
    """
    tolerance = np.where(misfit < 0.0, TOLERANCE_BEHIND, TOLERANCE_FRONT)
    squared = misfit**2 / (tolerance**2 + (NOISE_TOLERANCE * noise) ** 2)
    return precision(noise) / (1.0 + squared**2)


def precision(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weigh points by their noise alone, (N,) in [0, 1]."""
    return MODEL_NOISE**2 / (MODEL_NOISE**2 + noise**2)


def _spread_residual(
    grid: PromptGrid, residual: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Carry the residuals of the points to the cells next to them."""
    mass, total = grid.spread(weight, [residual], RESIDUAL_REACH)
    return total / (mass + np.float32(RESIDUAL_FADE * grid.point_mass(RESIDUAL_REACH)))
