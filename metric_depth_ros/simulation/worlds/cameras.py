# SPDX-License-Identifier: Apache-2.0
"""Cameras of any kind of robot: sizes, fields of view, places."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.simulation.scene import OPTICAL
from metric_depth_ros.simulation.world import Vector, rotation

_AREA_PX = (256 * 192, 320 * 240)
_SMALL_AREA_PX = (160 * 128, 192 * 144)
_SIDE_STEP_PX = 16
# A real image has several times more pixels over its field of view than ours can have; a window
# of such an image shows little of the scene, but as finely.
_WINDOW_SHARE = 0.6
_FINEST = 4.0


@dataclass(frozen=True)
class Pose:
    """Where a camera is and where it looks: x forward, y left, z up; angles in radians.

    Positive pitch looks down.
    """

    eye: Vector
    yaw: float
    pitch: float
    roll: float = 0.0

    def T_world_camera(self) -> NDArray[np.float64]:
        """Return the (4, 4) place of the optical frame."""
        T = np.eye(4)
        T[:3, :3] = rotation(self.yaw, self.pitch, self.roll) @ OPTICAL[:3, :3]
        T[:3, 3] = self.eye
        return T


def random_camera(
    rng: np.random.Generator,
    size: tuple[int, int] | None = None,
    wide: bool = False,
    whole: bool = False,
) -> CameraModel:
    """Return a pinhole camera, 25 to 130 degrees across, mostly 50 to 100, or a window of one.

    Parameters
    ----------
    rng
        Chance.
    size
        (width, height) in pixels; default: drawn.
    wide
        Prefer the wide images of cars.
    whole
        Never a window, and smaller.
    """
    width, height = size or _random_size(rng, wide, _SMALL_AREA_PX if whole else _AREA_PX)
    fov_deg = rng.uniform(50.0, 100.0) if rng.random() < 0.75 else rng.uniform(25.0, 130.0)
    # The height must stay under some 110 degrees, or lines at its edge stretch beyond reason.
    widest = 2.0 * math.degrees(math.atan(width / height * math.tan(math.radians(52.0))))
    focal = 0.5 * width / math.tan(math.radians(0.5 * min(fov_deg, widest)))
    stretch = float(np.exp(rng.normal(0.0, 0.01)))
    cx = 0.5 * width - 0.5 + width * rng.normal(0.0, 0.015)
    cy = 0.5 * height - 0.5 + height * rng.normal(0.0, 0.03)
    if not whole and rng.random() < _WINDOW_SHARE:
        finer = math.exp(rng.uniform(0.0, math.log(_FINEST)))
        focal *= finer
        cx += 0.5 * (finer - 1.0) * width * rng.uniform(-1.0, 1.0)
        cy += 0.5 * (finer - 1.0) * height * rng.uniform(-0.7, 0.6)
    return CameraModel.pinhole(width, height, focal, focal * stretch, cx, cy)


def random_tilt(
    rng: np.random.Generator, pitch_deg: float, roll_deg: float
) -> tuple[float, float]:
    """Return a pitch and a roll in radians from normal spreads in degrees."""
    pitch, roll = rng.normal(0.0, (pitch_deg, roll_deg))
    return math.radians(pitch), math.radians(roll)


def _random_size(
    rng: np.random.Generator, wide: bool, area_px: tuple[int, int]
) -> tuple[int, int]:
    area = rng.uniform(*area_px)
    aspect = rng.uniform(1.4, 3.5) if wide else rng.choice((4 / 3, 1.2, 1.5, 16 / 9, 2.2))
    width = _SIDE_STEP_PX * round(math.sqrt(area * aspect) / _SIDE_STEP_PX)
    height = _SIDE_STEP_PX * round(math.sqrt(area / aspect) / _SIDE_STEP_PX)
    return width, height
