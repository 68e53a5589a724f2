# SPDX-License-Identifier: Apache-2.0
"""Depth-camera images to prompts: registered (same pixels as the color image) or not.

The noise of triangulating cameras (structured light, stereo) grows with the square of depth
(Khoshelham and Elberink 2012, eq. 7): sigma = sigma_m_at_1m * depth^2.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.projection import project_cloud
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.geometry.unprojection import depth_to_points
from metric_depth_ros.types import Source, SparsePrompt

_SIGMA_M_AT_1M = 0.002
_NEARER_M = 0.02  # a surface hides what is behind it by more: hands and tools stand before tables


def prompt_from_registered_depth(
    depth: NDArray[np.float32],
    *,
    sigma_m_at_1m: float = _SIGMA_M_AT_1M,
    min_depth_m: float = 0.05,
    max_depth_m: float = 250.0,
    source: Source = Source.RGBD,
) -> SparsePrompt:
    """Take the valid pixels of a depth image that is registered to the color image.

    Parameters
    ----------
    depth
        (H, W) meters along the optical Z axis; NaN, Inf and values out of range are holes.
    sigma_m_at_1m
        One standard deviation at 1 m, growing with the square of depth.
    min_depth_m, max_depth_m
        Depth range that counts as measured.
    source
        What the points are marked as.

    Returns
    -------
    SparsePrompt
        One point a valid pixel, in row-major order.
    """
    with np.errstate(invalid='ignore'):
        valid = np.flatnonzero((depth >= nearest_m(min_depth_m)) & (depth <= max_depth_m))
    measured = depth.take(valid).astype(np.float32, copy=False)
    return SparsePrompt(
        _pixels(*depth.shape).take(valid, axis=0),
        measured,
        np.float32(sigma_m_at_1m) * measured**2,
        np.full(len(measured), source, np.uint8),
    )


@lru_cache(maxsize=4)
def _pixels(height: int, width: int) -> NDArray[np.float32]:
    """Return (u, v) of all pixels, row by row; they are the same for every frame."""
    row, column = np.mgrid[:height, :width]
    return np.stack((column, row), axis=-1).astype(np.float32).reshape(-1, 2)


def prompt_from_depth_image(
    camera: CameraModel,
    depth: NDArray[np.float32],
    depth_camera: CameraModel,
    T_camera_depth: Transform,
    *,
    sigma_m_at_1m: float = _SIGMA_M_AT_1M,
    min_depth_m: float = 0.05,
    max_depth_m: float = 250.0,
) -> SparsePrompt:
    """Move a depth image with its own lens and place into the color camera.

    Parameters
    ----------
    camera
        Camera of the color image.
    depth
        (h, w) meters along the depth camera's optical Z axis; not finite = hole.
    depth_camera
        Camera of the depth image.
    T_camera_depth
        (4, 4) transform from the depth optical frame to the color optical frame.
    sigma_m_at_1m
        One standard deviation at 1 m, growing with the square of depth.
    min_depth_m, max_depth_m
        Depth range that counts as measured, in the depth camera.

    Returns
    -------
    SparsePrompt
        At most one point a pixel of the color image; points that it cannot see are dropped.

    Raises
    ------
    InputError
        A depth image of another size than its camera.
    """
    if depth.shape != (depth_camera.height, depth_camera.width):
        raise InputError(
            'camera_size',
            f'the depth image is {depth.shape[1]}x{depth.shape[0]} but its CameraInfo says '
            f'{depth_camera.width}x{depth_camera.height}: publish the CameraInfo of that image.',
        )
    with np.errstate(invalid='ignore'):
        measured = (depth >= nearest_m(min_depth_m)) & (depth <= max_depth_m)
    points = depth_to_points(depth_camera, np.where(measured, depth, np.float32(np.nan)))
    seen = project_cloud(camera, points[measured], T_camera_depth, nearer_m=_NEARER_M)
    return SparsePrompt(
        seen.uv,
        seen.depth,
        np.float32(sigma_m_at_1m) * seen.depth**2,
        np.full(len(seen.depth), Source.RGBD, np.uint8),
    )


def nearest_m(min_depth_m: float) -> float:
    """Return the least depth that counts as measured; 0 is a hole, whatever the limit."""
    return max(min_depth_m, float(np.finfo(np.float32).tiny))
