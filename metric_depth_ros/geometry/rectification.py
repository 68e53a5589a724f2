# SPDX-License-Identifier: Apache-2.0
"""Images of distorting lenses, fisheye above all, as those of an ideal pinhole.

The pinhole looks along the same axis from the same place, so the frame of the image stays true;
a rectification that also turns the camera (the R of a stereo pair) is not applied. NumPy, OpenCV.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel

_MOST_SIDE_PX = 32_766  # of OpenCV's remap


class Rectification:
    """The way from a raw image to that of a pinhole of the same size.

    Parameters
    ----------
    camera
        Camera of the raw image.
    fov_x_deg
        Horizontal field of view of the pinhole; 0 takes the left part of P (REP-104).

    Raises
    ------
    InputError
        P has no focal length, or a side is longer than 32766 pixels.
    """

    def __init__(self, camera: CameraModel, fov_x_deg: float = 0.0) -> None:
        if max(camera.size) > _MOST_SIDE_PX:
            raise InputError(
                'camera_size',
                f'the image is {camera.width}x{camera.height}, expected at most {_MOST_SIDE_PX} '
                'pixels a side to rectify it: publish it smaller (image_proc resize).',
            )
        self.raw = camera
        self.pinhole = camera.rectified() if fov_x_deg == 0.0 else _pinhole(camera, fov_x_deg)
        columns, rows = np.meshgrid(
            np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64)
        )
        rays = self.pinhole.pixel_to_normalized(np.stack((columns, rows), axis=-1))
        with np.errstate(invalid='ignore'):
            uv = camera.normalized_to_pixel(rays)
        # OpenCV takes a place outside the image, but no NaN, for a hole.
        self._map = np.where(np.isfinite(uv), uv, -10.0).astype(np.float32)

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the (H, W, 3) image as the pinhole sees it, black where the lens sees nothing."""
        return np.asarray(
            cv2.remap(image, self._map[..., 0], self._map[..., 1], cv2.INTER_LINEAR), np.uint8
        )

    def depth(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return an (H, W) depth image of the same pixels as the pinhole sees it.

        Depth along the optical axis is the same in both. The nearest pixel is taken, since a mean
        over an edge would be a depth that nothing has.
        """
        return np.asarray(
            cv2.remap(
                depth, self._map[..., 0], self._map[..., 1], cv2.INTER_NEAREST,
                borderMode=cv2.BORDER_CONSTANT, borderValue=float('nan'),
            ),
            np.float32,
        )  # fmt: skip


def _pinhole(camera: CameraModel, fov_x_deg: float) -> CameraModel:
    focal = 0.5 * camera.width / np.tan(np.radians(0.5 * fov_x_deg))
    center = 0.5 * (camera.width - 1), 0.5 * (camera.height - 1)
    return CameraModel.pinhole(camera.width, camera.height, focal, focal, *center)
