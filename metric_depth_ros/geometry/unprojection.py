# SPDX-License-Identifier: Apache-2.0
"""Depth images to organized points. NumPy only.

The rays of a camera do not change from frame to frame, so those that a lens bends are computed
once per camera.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.array_cache import ArrayCache, Arrays
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.distortion import FloatArray

# A frame asks for the rays of up to three cameras: that of the image, the same at the size that a
# network works at, and that of the depth camera. Were they forgotten before the next frame, every
# frame would wait for Newton's method. At 8 bytes a pixel this is room for the three of 64 cameras
# of 640x480, or of 10 of 1920x1080.
_MOST_CAMERAS = 3 * 64
_MOST_BYTES = 1 << 29


def ray_slopes(camera: CameraModel) -> Arrays:
    """Return X/Z and Y/Z of every pixel's ray.

    Returns
    -------
    tuple
        Two read-only float32 arrays that broadcast to (H, W): (1, W) and (H, 1) for an ideal
        pinhole without skew, both (H, W) otherwise. NaN where no ray reaches the pixel.
    """
    K = camera.K
    if not camera.distortion.is_identity or K[0, 1] != 0.0:
        return _bent_rays.get(camera)
    x = (np.arange(camera.width) - K[0, 2]) / K[0, 0]
    y = (np.arange(camera.height) - K[1, 2]) / K[1, 1]
    return _read_only(x[None, :], y[:, None])


def _ray_slopes_of_pixels(camera: CameraModel) -> Arrays:
    row, column = np.mgrid[: camera.height, : camera.width].astype(np.float64)
    slopes = camera.pixel_to_normalized(np.stack((column, row), axis=-1))
    return _read_only(slopes[..., 0], slopes[..., 1])


_bent_rays = ArrayCache(_ray_slopes_of_pixels, _MOST_CAMERAS, _MOST_BYTES)


def _read_only(x: FloatArray, y: FloatArray) -> Arrays:
    pair = x.astype(np.float32), y.astype(np.float32)
    for slopes in pair:
        slopes.setflags(write=False)
    return pair


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
