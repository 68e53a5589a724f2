# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CameraInfo to `CameraModel` and back (REP-104)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.distortion import Distortion


@dataclass(frozen=True)
class CameraInfoFields:
    """Fields of a sensor_msgs/CameraInfo without header, binning and ROI (full image)."""

    height: int
    width: int
    distortion_model: str
    d: tuple[float, ...]
    k: tuple[float, ...]
    r: tuple[float, ...]
    p: tuple[float, ...]


def camera_from_info(msg: Message, *, rectified: bool = False) -> CameraModel:
    """Return the camera of the image that a CameraInfo comes with.

    K, D, R and P of CameraInfo describe the full sensor image; the region of interest is cut out
    of it and then binned, and the model returned is that of the pixels which arrived.

    Parameters
    ----------
    msg
        Anything with the fields of sensor_msgs/CameraInfo.
    rectified
        The image was rectified upstream: take P and no distortion.

    Raises
    ------
    InputError
        An uncalibrated camera, an unknown lens model, values not finite, terms of the lens beyond
        k6, a region of interest outside the image, or a binning that leaves no pixel of it.
    """
    width, height = int(msg.width), int(msg.height)
    if rectified:
        P = np.asarray(msg.p, np.float64).reshape(3, 4)
        camera = CameraModel.of_rectified(width, height, P)
    else:
        camera = CameraModel(
            width,
            height,
            np.asarray(msg.k, np.float64),
            Distortion.calibrated(
                str(msg.distortion_model) or 'plumb_bob', tuple(map(float, msg.d))
            ),
            _rotation_or_identity(msg.r),
            _projection_or_none(msg.p),
        )
    return _binned(_windowed(camera, msg.roi), int(msg.binning_x), int(msg.binning_y))


def camera_to_fields(camera: CameraModel) -> CameraInfoFields:
    """Return the CameraInfo fields of a camera, of the pixels as they are (no ROI, no binning).

    An ideal pinhole is written as plumb_bob with five zeros, which every consumer takes.
    """
    P = camera.P
    assert P is not None
    distortion = camera.distortion
    return CameraInfoFields(
        camera.height,
        camera.width,
        distortion.model,
        distortion.coefficients or (0.0,) * _COUNTS[distortion.model],
        tuple(camera.K.ravel().tolist()),
        tuple(camera.R.ravel().tolist()),
        tuple(P.ravel().tolist()),
    )


_COUNTS = {'plumb_bob': 5, 'rational_polynomial': 8, 'equidistant': 4}


def _rotation_or_identity(r: ArrayLike) -> NDArray[np.float64]:
    """Return R; all zeros, which monocular drivers send, means that there is none."""
    matrix = np.asarray(r, np.float64)
    return matrix if matrix.any() else np.eye(3)


def _projection_or_none(p: ArrayLike) -> NDArray[np.float64] | None:
    matrix = np.asarray(p, np.float64)
    return matrix if matrix.any() else None


def _windowed(camera: CameraModel, roi: Message) -> CameraModel:
    x, y, width, height = (int(v) for v in (roi.x_offset, roi.y_offset, roi.width, roi.height))
    if width == 0 or height == 0:  # CameraInfo: zero means the full image
        return camera
    if x + width > camera.width or y + height > camera.height:
        raise InputError(
            'camera_roi',
            f'CameraInfo.roi is {width}x{height} at ({x}, {y}), outside the '
            f'{camera.width}x{camera.height} image: width and height of CameraInfo are those of '
            'the full sensor.',
        )
    return camera.cropped(x, y, width, height)


def _binned(camera: CameraModel, binning_x: int, binning_y: int) -> CameraModel:
    if binning_x <= 1 and binning_y <= 1:  # CameraInfo: 0 and 1 both mean none
        return camera
    if binning_x > camera.width or binning_y > camera.height:
        raise InputError(
            'camera_binning',
            f'CameraInfo.binning is {binning_x}x{binning_y}, more than the '
            f'{camera.width}x{camera.height} pixels that are binned: give the factors that the '
            'driver bins by, 0 or 1 for none.',
        )
    return camera.binned(max(binning_x, 1), max(binning_y, 1))
