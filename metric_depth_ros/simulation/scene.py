# SPDX-License-Identifier: Apache-2.0
"""`Scene`: a world, a robot that moves through it, and the sensors that it carries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.simulation.photography import CameraNoise
from metric_depth_ros.simulation.sensors.lidar import LidarModel
from metric_depth_ros.simulation.sensors.rgbd import DepthCameraModel
from metric_depth_ros.simulation.world import World

# Optical frame (z forward, x right, y down) of a camera that looks along x of its body.
OPTICAL = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


@dataclass(frozen=True, eq=False)
class Scene:
    """A simulated recording that is ready to be made.

    Parameters
    ----------
    world
        One world (a batch of one).
    camera
        Geometry of the color camera.
    T_base_camera
        (4, 4) place of its optical frame on the robot.
    base_at
        Place of the robot, T_world_base (4, 4), by time in seconds.
    lidar, T_base_lidar
        The LiDAR and its place on the robot, or None.
    depth_camera
        A depth camera registered to the color camera, or None.
    max_truth_m
        Ground truth reaches this far.
    """

    world: World
    camera: CameraModel
    T_base_camera: NDArray[np.float64]
    base_at: Callable[[float], NDArray[np.float64]]
    lidar: LidarModel | None = None
    T_base_lidar: NDArray[np.float64] | None = None
    depth_camera: DepthCameraModel | None = None
    noise: CameraNoise = field(default_factory=CameraNoise)
    max_truth_m: float = 200.0


def camera_of(width: int, height: int, fov_deg: float) -> CameraModel:
    """Return an ideal pinhole with a horizontal field of view, in degrees."""
    focal = 0.5 * width / np.tan(np.radians(0.5 * fov_deg))
    return CameraModel.pinhole(width, height, focal, focal, 0.5 * width - 0.5, 0.5 * height - 0.5)


def looking_at(eye: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the place (4, 4) of a body at `eye` whose x axis points at `target`, z up."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    left = np.cross((0.0, 0.0, 1.0), forward)
    left /= np.linalg.norm(left)
    T = np.eye(4)
    T[:3, :3] = np.stack((forward, left, np.cross(forward, left)), axis=1)
    T[:3, 3] = eye
    return T
