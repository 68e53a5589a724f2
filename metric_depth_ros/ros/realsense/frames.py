# SPDX-License-Identifier: Apache-2.0
"""Frames of librealsense as arrays with their cameras. Knows no ROS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.ros.realsense.calibration import camera_model

# Format of librealsense: (encoding of sensor_msgs/Image, bytes a pixel).
_ENCODINGS = {
    'rgb8': ('rgb8', 3),
    'bgr8': ('bgr8', 3),
    'rgba8': ('rgba8', 4),
    'bgra8': ('bgra8', 4),
    'y8': ('mono8', 1),
    'y16': ('mono16', 2),
    'yuyv': ('yuv422_yuy2', 2),
    'uyvy': ('yuv422', 2),
}
_MM_A_METER = 1000.0
_KEPT_CAMERAS = 16  # color, depth and aligned depth, and some for changed decimation


@dataclass(frozen=True, eq=False)
class Picture:
    """One image of a camera.

    Parameters
    ----------
    data
        (H, W * bytes a pixel) uint8; a view of librealsense's memory where nothing was computed.
    encoding, width
        As sensor_msgs/Image has them; depth is 16UC1, millimeters.
    camera
        Its camera.
    number
        Of the frame, counted by the camera.
    """

    data: NDArray[np.uint8]
    encoding: str
    width: int
    camera: CameraModel
    number: int


class PictureReader:
    """Turns frames into pictures; a camera model is made only when the calibration changes."""

    def __init__(self) -> None:
        self._cameras: dict[tuple[object, ...], CameraModel] = {}

    def color(self, frame: Any) -> Picture:
        """Return a color frame.

        Raises
        ------
        InputError
            A pixel format that sensor_msgs/Image has no name for.
        """
        name = frame.profile.format().name
        if name not in _ENCODINGS:
            raise InputError(
                'image_encoding',
                f'color comes as {name}, expected one of {", ".join(_ENCODINGS)}: record or '
                'stream rgb8.',
            )
        encoding, pixel_bytes = _ENCODINGS[name]
        return self._picture(frame, np.asanyarray(frame.get_data()), encoding, pixel_bytes)

    def depth(self, frame: Any) -> Picture:
        """Return a depth frame in millimeters (REP-118)."""
        millimeters = in_millimeters(np.asanyarray(frame.get_data()), frame.get_units())
        return self._picture(frame, millimeters, '16UC1', 2)

    def _picture(
        self, frame: Any, pixels: NDArray[Any], encoding: str, pixel_bytes: int
    ) -> Picture:
        height, width = frame.get_height(), frame.get_width()
        flat = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
        return Picture(
            flat.reshape(height, width * pixel_bytes),
            encoding,
            width,
            self._camera(frame.profile.as_video_stream_profile().get_intrinsics()),
            frame.get_frame_number(),
        )

    def _camera(self, intrinsics: Any) -> CameraModel:
        i = intrinsics
        key = (i.width, i.height, i.fx, i.fy, i.ppx, i.ppy, i.model.name, *i.coeffs)
        if key not in self._cameras:
            if len(self._cameras) >= _KEPT_CAMERAS:
                self._cameras.clear()
            self._cameras[key] = camera_model(intrinsics)
        return self._cameras[key]


def in_millimeters(depth: NDArray[np.uint16], unit_m: float) -> NDArray[np.uint16]:
    """Return raw depth in millimeters: as it is where its unit is the millimeter.

    Other units (0.1 mm on a D405) are rounded; what does not fit into 16 bits is 0, unknown.
    """
    unit_mm = unit_m * _MM_A_METER
    if np.isclose(unit_mm, 1.0, rtol=1e-5):
        return depth
    millimeters = np.rint(depth * np.float32(unit_mm))
    millimeters[millimeters > np.iinfo(np.uint16).max] = 0.0
    return millimeters.astype(np.uint16)
