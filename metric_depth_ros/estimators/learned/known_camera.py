# SPDX-License-Identifier: Apache-2.0
"""The camera of a frame, for networks that cannot do without its focal length."""

from __future__ import annotations

from metric_depth_ros.errors import InputError
from metric_depth_ros.types import CameraModel, Frame


def camera_of(name: str, frame: Frame) -> CameraModel:
    """Return the camera of a frame.

    Raises
    ------
    InputError
        `camera_missing`: depth of an assumed focal length would look metric.
    """
    if frame.camera is None:
        raise InputError(
            'camera_missing',
            f'{name} needs the focal length: publish CameraInfo beside the image (--camera), or '
            'use student_pointmap or depth_pro, which recover it from the image.',
        )
    return frame.camera
