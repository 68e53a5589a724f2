# SPDX-License-Identifier: Apache-2.0
"""librealsense's calibration as cameras and transforms; names of frames. Knows no ROS.

Frames are those that users of RealSense cameras know: ``<prefix>_link`` and its equal
``<prefix>_depth_frame`` (x forward), ``<prefix>_color_frame``, and the optical frames of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.geometry.rigid import Transform, inverse
from metric_depth_ros.whole_files import write_whole

# Optical axes (x right, y down, z forward) seen from body axes (x forward, y left, z up): REP-103.
BODY_OPTICAL: Transform = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)

# librealsense projects through its modified and inverse models by formulas that differ from
# plumb_bob only in products of tangential coefficients: 0.02 px on a lens with 0.002 of them.
_LENSES = {
    'none': '',  # whatever its coefficients
    'brown_conrady': 'plumb_bob',
    'modified_brown_conrady': 'plumb_bob',
    'inverse_brown_conrady': 'plumb_bob',
    'kannala_brandt4': 'equidistant',
}


def camera_model(intrinsics: Any) -> CameraModel:
    """Return the camera of librealsense's intrinsics.

    Raises
    ------
    InputError
        A lens model that CameraInfo has no name for.
    """
    name = intrinsics.model.name
    lens = _LENSES.get(name)
    if lens is None:
        raise InputError(
            'camera_distortion',
            f'the camera has the lens model {name}, which CameraInfo has no name for: expected '
            f'one of {", ".join(_LENSES)}.',
        )
    K = np.array(
        [
            [intrinsics.fx, 0.0, intrinsics.ppx],
            [0.0, intrinsics.fy, intrinsics.ppy],
            [0.0, 0.0, 1.0],
        ]
    )
    coefficients = tuple(map(float, intrinsics.coeffs))
    distortion = Distortion.calibrated(lens, coefficients) if lens else Distortion()
    return CameraModel(intrinsics.width, intrinsics.height, K, distortion)


def transform(extrinsics: Any) -> Transform:
    """Return (4, 4) of librealsense's extrinsics, whose rotation is column by column."""
    T = np.eye(4)
    T[:3, :3] = np.reshape(extrinsics.rotation, (3, 3)).T
    T[:3, 3] = extrinsics.translation
    return T


def optical_frame(prefix: str, stream: str) -> str:
    """Return the name of the optical frame of a stream, ``'color'`` or ``'depth'``."""
    return f'{prefix}_{stream}_optical_frame'


def static_transforms(
    prefix: str, T_color_depth: Transform | None
) -> dict[tuple[str, str], Transform]:
    """Return the frames of a camera, (4, 4) pose of the child by (parent, child).

    Parameters
    ----------
    prefix
        What their names begin with.
    T_color_depth
        From the depth to the color camera, both optical; None where one of them is not there,
        which then lies where the other does.
    """
    T_depth_color = np.eye(4) if T_color_depth is None else inverse(T_color_depth)
    link, depth, color = (f'{prefix}_{name}' for name in ('link', 'depth_frame', 'color_frame'))
    return {
        (link, depth): np.eye(4),
        (depth, optical_frame(prefix, 'depth')): BODY_OPTICAL,
        (link, color): BODY_OPTICAL @ T_depth_color @ inverse(BODY_OPTICAL),
        (color, optical_frame(prefix, 'color')): BODY_OPTICAL,
    }


def write_calibration(path: Path, transforms: Mapping[tuple[str, str], Transform]) -> None:
    """Write transforms as a calibration file of the depth node, whole or not at all.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    import yaml

    entries = [
        {'parent': parent, 'child': child, 'matrix': T.tolist()}
        for (parent, child), T in transforms.items()
    ]
    try:  # who reads it meanwhile sees the old one or the new one
        write_whole(path, yaml.safe_dump({'transforms': entries}))
    except OSError as error:
        raise InputError(
            'calibration_file',
            f'{path} cannot be written: {error.strerror or error} (parameter calibration_file).',
        ) from error
