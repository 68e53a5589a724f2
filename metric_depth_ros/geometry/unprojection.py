# SPDX-License-Identifier: Apache-2.0
"""Depth images to organized points. NumPy only.

The rays of a camera do not change from frame to frame, so they are computed once per camera.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel


@lru_cache(maxsize=8)
def ray_slopes(camera: CameraModel) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return X/Z and Y/Z of every pixel's ray.

    Returns
    -------
    tuple
        Two read-only float32 arrays that broadcast to (H, W): (1, W) and (H, 1) for an ideal
        pinhole without skew, both (H, W) otherwise. NaN where no ray reaches the pixel.
    """
    column = np.arange(camera.width, dtype=np.float64)
    row = np.arange(camera.height, dtype=np.float64)
    K = camera.K
    if camera.distortion.is_identity and K[0, 1] == 0.0:
        x = ((column - K[0, 2]) / K[0, 0])[None, :].astype(np.float32)
        y = ((row - K[1, 2]) / K[1, 1])[:, None].astype(np.float32)
    else:
        slopes = camera.pixel_to_normalized(np.stack(np.meshgrid(column, row), axis=-1))
        x = slopes[..., 0].astype(np.float32)
        y = slopes[..., 1].astype(np.float32)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def depth_to_points(
    camera: CameraModel,
    depth: NDArray[np.float32],
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Lift a depth image to organized points of the optical frame.

    Parameters
    ----------
    camera
        Camera of the depth image.
    depth
        (H, W) meters along the optical Z axis; any value that is not finite is a hole.
    out
        (H, W, 3) float32 array to write into, strided or not, or None for a new one.

    Returns
    -------
    NDArray[np.float32]
        (H, W, 3) meters; all three NaN at holes.

    Raises
    ------
    ValueError
        Depth of another size than the camera's.
    """
    if depth.shape != (camera.height, camera.width):
        raise ValueError(
            f'depth is {depth.shape[1]}x{depth.shape[0]}, its camera is '
            f'{camera.width}x{camera.height}'
        )
    x, y = ray_slopes(camera)
    points = np.empty((*depth.shape, 3), np.float32) if out is None else out
    z = np.where(np.isfinite(depth), depth, np.float32(np.nan))
    np.multiply(x, z, out=points[..., 0])
    np.multiply(y, z, out=points[..., 1])
    points[..., 2] = z
    if x.shape == depth.shape:  # a distorted lens may have pixels that no ray reaches
        points[np.isnan(x), 2] = np.nan
    return points
