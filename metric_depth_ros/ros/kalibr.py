# SPDX-License-Identifier: Apache-2.0
"""Extrinsics of a Kalibr camchain. Knows no ROS.

``camN`` are the frames, ``imu`` that of the IMU, ``lidar`` that of a LiDAR where a calibration
tool has added ``T_cam_lidar``. ``T_cn_cnm1`` maps points of the camera before into camera N.
Intrinsics come from CameraInfo, not from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.rigid import Transform, checked_rigid

# Frame that each entry of a camera maps points from.
_OTHER_FRAME = {'T_cam_imu': 'imu', 'T_cam_lidar': 'lidar'}


def is_camchain(content: object) -> bool:
    """Tell a Kalibr camchain from other YAML by its first camera."""
    return isinstance(content, dict) and isinstance(content.get('cam0'), dict)


def camchain_transforms(
    content: Mapping[str, Any], path: Path
) -> dict[tuple[str, str], Transform]:
    """Return the transforms of a camchain, (4, 4) by (parent, child).

    Parameters
    ----------
    content
        What the YAML holds.
    path
        Where it comes from, for messages.

    Raises
    ------
    InputError
        A transform that is not rigid, or none at all.
    """
    transforms = {}
    number = 0
    while isinstance(camera := content.get(f'cam{number}'), dict):
        frames = {**_OTHER_FRAME, 'T_cn_cnm1': f'cam{number - 1}'}
        for key, other in frames.items():
            if key in camera:
                name = f'cam{number}.{key} of {path}'
                transforms[f'cam{number}', other] = _rigid(camera[key], name)
        number += 1
    if not transforms:
        raise InputError(
            'extrinsics',
            f'camchain {path} has no transform (T_cn_cnm1, {", ".join(_OTHER_FRAME)}): with one '
            'camera alone there is nothing to place (parameter extrinsics.path).',
        )
    return transforms


def _rigid(values: object, name: str) -> Transform:
    try:
        return checked_rigid(np.array(values, np.float64), name)
    except (TypeError, ValueError) as error:
        raise InputError('extrinsics', f'transform {name} is no matrix: {error}.') from error
