# SPDX-License-Identifier: Apache-2.0
"""Confidence of a completed surface; may import NumPy and this package's grid and surface.

It falls with the distance to the points in reach, measured past the edges of the image, with the
scatter of the points around the surface, and with their noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.estimators.classical.grid import PromptGrid
from metric_depth_ros.estimators.classical.planes import PLANE_REACH
from metric_depth_ros.estimators.classical.surface import Surface, precision

# Relative error of the points around at which the confidence is halved.
HALF_CONFIDENCE_ERROR = 0.10
# Reach in spacings over which the scatter is averaged.
SCATTER_REACH = 1.0


def rate(grid: PromptGrid, surface: Surface, noise: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rate every cell of a fitted surface.

    Parameters
    ----------
    grid : PromptGrid
        Points.
    surface : Surface
        Surface fitted to them.
    noise : NDArray[np.float64]
        (N,) relative standard deviation of the points.

    Returns
    -------
    NDArray[np.float32]
        (H, W) in [0, 1].
    """
    # A point which the surface leaves out altogether says no more than one that is off by 100 %,
    # and one that is too noisy to have a say in the depth has none in how well it is known.
    error = np.minimum(surface.misfit**2, 1.0) + np.minimum(noise**2, 1.0)
    mass, total = grid.spread(precision(noise), [error], SCATTER_REACH)
    scatter = total / np.maximum(mass, np.finfo(np.float32).tiny)
    near = surface.mass / (surface.mass + np.float32(grid.point_mass(PLANE_REACH)))
    return near / (1.0 + scatter * np.float32(HALF_CONFIDENCE_ERROR**-2))
