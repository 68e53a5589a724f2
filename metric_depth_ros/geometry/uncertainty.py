# SPDX-License-Identifier: Apache-2.0
"""How sure a point is that was seen at a pixel. NumPy and `camera` only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel

_STEP_PX = 0.5


def point_covariance(
    camera: CameraModel,
    pixel: tuple[float, float],
    depth: float,
    sigma_depth: float,
    sigma_px: float,
) -> NDArray[np.float64]:
    """Return the covariance of the point at a pixel, to first order.

    Along the ray it is that of the depth; across it that of the place of the pixel, which is a
    distance in proportion to depth.

    Parameters
    ----------
    camera
        Camera of the image.
    pixel
        (u, v).
    depth, sigma_depth
        m along the optical axis, and its standard deviation.
    sigma_px
        Standard deviation of the place of the pixel, in either direction.

    Returns
    -------
    NDArray[np.float64]
        (3, 3) m² in the optical frame, symmetric; NaN where the lens has no ray.
    """
    steps = np.array(
        [(0.0, 0.0), (_STEP_PX, 0.0), (0.0, _STEP_PX), (-_STEP_PX, 0.0), (0.0, -_STEP_PX)]
    )
    rays = camera.unproject(np.asarray(pixel, np.float64) + steps, np.ones(len(steps)))
    across = depth * (rays[1:3] - rays[3:5]) / (2.0 * _STEP_PX)  # m a pixel
    along = rays[0]
    return sigma_depth**2 * np.outer(along, along) + sigma_px**2 * across.T @ across
