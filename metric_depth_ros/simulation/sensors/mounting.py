# SPDX-License-Identifier: Apache-2.0
"""Where a sensor sits beside the camera, and what its calibration gets wrong. NumPy only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.rigid import Transform, inverse
from metric_depth_ros.simulation.scene import OPTICAL

# A camera that looks down more steeply than this carries its sensors along on its bracket.
_LEVEL_UP_TO = math.sin(math.radians(20.0))
_CALIBRATION_SHARE = 0.4
_CALIBRATION_DEG = 0.5
_CALIBRATION_M = 0.05
_MOVING_SHARE = 0.35
_TEST_RANGES_M = (1.0, 2.5, 6.0, 20.0, 500.0)


@dataclass(frozen=True, eq=False)
class Mounting:
    """One sensor beside one camera.

    Parameters
    ----------
    T_world_sensor
        (4, 4) where it really is when it measures.
    T_camera_sensor
        (4, 4) where it is said to be when the image is taken: calibration error and motion
        between both instants are the difference.
    """

    T_world_sensor: Transform
    T_camera_sensor: Transform

    def in_view(self, directions: NDArray[np.float32], camera: CameraModel) -> NDArray[np.bool_]:
        """Tell which rays (R, 3) of the sensor can fall into the image."""
        turned = directions @ self.T_camera_sensor[:3, :3].T.astype(np.float32)
        place = self.T_camera_sensor[:3, 3].astype(np.float32)
        seen = np.zeros(len(directions), np.bool_)
        for range_m in _TEST_RANGES_M:
            uv = camera.project(turned * np.float32(range_m) + place)
            with np.errstate(invalid='ignore'):
                seen |= (np.abs(uv / camera.size - 0.5) <= 0.52).all(-1)
        return seen


def draw_mounting(
    T_world_camera: Transform, offset: NDArray[np.float64], rng: np.random.Generator
) -> Mounting:
    """Mount a sensor at an offset from the camera, with everyday faults.

    Parameters
    ----------
    T_world_camera
        (4, 4) place of the camera's optical frame.
    offset
        (3,) meters forward, left and up.
    rng
        Source of tilt, calibration error and motion.
    """
    T_camera_true = _bracket(T_world_camera)
    T_camera_true[:3, :3] @= _small_rotation(rng.normal(0.0, (0.03, 0.03, 0.02)))
    T_camera_true[:3, 3] = OPTICAL[:3, :3].T @ offset
    calibration, motion = np.eye(4), np.eye(4)
    if rng.random() < _CALIBRATION_SHARE:
        calibration = _calibration_error(rng)
    if rng.random() < _MOVING_SHARE:
        motion = _motion_between(rng)
    return Mounting(T_world_camera @ motion @ T_camera_true, T_camera_true @ calibration)


def _bracket(T_world_camera: Transform) -> Transform:
    """Return T_camera_sensor of a sensor at the camera: level on a vehicle, else turned along."""
    forward, up = T_world_camera[:3, 2], np.array((0.0, 0.0, 1.0))
    if abs(forward @ up) > _LEVEL_UP_TO:
        return inverse(OPTICAL)
    T = np.eye(4)
    left = np.cross(up, forward)
    left /= np.linalg.norm(left)
    T[:3, :3] = T_world_camera[:3, :3].T @ np.stack((np.cross(left, up), left, up), axis=1)
    return T


def _calibration_error(rng: np.random.Generator) -> Transform:
    T = np.eye(4)
    limit = math.radians(_CALIBRATION_DEG)
    T[:3, :3] = _small_rotation(rng.uniform(-limit, limit, 3))
    T[:3, 3] = rng.uniform(-_CALIBRATION_M, _CALIBRATION_M, 3)
    return T


def _motion_between(rng: np.random.Generator) -> Transform:
    """Return how far the robot goes between the image and the measurement, camera axes.

    A tenth of a second at most: half a turn of a LiDAR, or two topics that are paired loosely.
    """
    seconds = rng.uniform(-0.05, 0.05)
    T = np.eye(4)
    T[:3, :3] = _small_rotation(seconds * rng.normal(0.0, (0.03, 0.2, 0.03)))
    T[:3, 3] = seconds * rng.normal(0.0, (0.3, 0.1, 1.0)) * rng.choice((1.0, 8.0))
    return T


def _small_rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation about x, then y, then z, in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array(((1.0, 0.0, 0.0), (0.0, cx, -sx), (0.0, sx, cx)))
    about_y = np.array(((cy, 0.0, sy), (0.0, 1.0, 0.0), (-sy, 0.0, cy)))
    about_z = np.array(((cz, -sz, 0.0), (sz, cz, 0.0), (0.0, 0.0, 1.0)))
    return about_z @ about_y @ about_x
