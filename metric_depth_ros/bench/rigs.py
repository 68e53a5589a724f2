# SPDX-License-Identifier: Apache-2.0
"""What robots carry: cameras, what they see, and the depth sensor that they share.

The set-ups that the speed of the node is told for are synthetic (`RIGS`), so that the figures
need no data; `recorded_rig` makes one of a frame set. Imports no ROS.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.bench.scene import street_like, surround_scan
from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets import FrameSet, load_frame_set
from metric_depth_ros.types import CameraModel

_DEFAULT_RATE_HZ = 10.0


@dataclass(frozen=True, eq=False)
class RigCamera:
    """One camera of a rig and what it sees.

    Parameters
    ----------
    name
        That its topics begin with; empty where the rig has one camera.
    image
        (H, W, 3) uint8 RGB.
    camera
        Geometry of the image.
    T_camera_lidar
        (4, 4) from the LiDAR to the optical frame; None without a LiDAR.
    depth
        (H, W) float32 meters that a registered depth camera sees; None with a LiDAR.
    """

    name: str
    image: NDArray[np.uint8]
    camera: CameraModel
    T_camera_lidar: NDArray[np.float64] | None = None
    depth: NDArray[np.float32] | None = None

    @property
    def prefix(self) -> str:
        """What its topics and frames begin with."""
        return f'{self.name}/' if self.name else ''


@dataclass(frozen=True, eq=False)
class Rig:
    """One set-up.

    Parameters
    ----------
    name
        For tables.
    rate_hz
        Of all cameras.
    cameras
        At least one; all of one image size.
    scan
        (N, 3) float32 meters that they share; None with depth cameras.
    bar
        Largest ratio of the node without its estimator to its floor, or None.
    """

    name: str
    rate_hz: float
    cameras: tuple[RigCamera, ...]
    scan: NDArray[np.float32] | None = None
    bar: float | None = None

    @property
    def source(self) -> str:
        """The prompt source."""
        return 'sensor_depth' if self.scan is None else 'points'


@dataclass(frozen=True)
class RigSpec:
    """A synthetic rig: street scenes, a scan all around, cameras that share it.

    Parameters
    ----------
    name, rate_hz, bar
        As in `Rig`.
    width, height
        Of each image.
    points
        Of the scan; 0 for a depth camera of the size of the image instead.
    cameras
        How many, evenly around the vertical.
    """

    name: str
    width: int
    height: int
    rate_hz: float
    points: int
    cameras: int = 1
    bar: float | None = None

    def rig(self) -> Rig:
        """Return the rig with what it sees."""
        scene = street_like(self.width, self.height)
        cameras = tuple(
            RigCamera(
                f'camera{i}' if self.cameras > 1 else '',
                scene.image,
                scene.camera,
                _looking(2.0 * np.pi * i / self.cameras) if self.points else None,
                None if self.points else scene.depth,
            )
            for i in range(self.cameras)
        )
        scan = surround_scan(self.points) if self.points else None
        return Rig(self.name, self.rate_hz, cameras, scan, self.bar)


RIGS = (
    RigSpec('VGA RGB-D', 640, 480, 30.0, 0),
    RigSpec('KITTI', 1242, 375, 10.0, 120_000),
    RigSpec('1080p + 128 lines', 1920, 1080, 10.0, 128 * 1024, bar=3.0),
    RigSpec('6 cameras', 1600, 900, 10.0, 32 * 1090, cameras=6),
)


def recorded_rig(folder: Path) -> Rig:
    """Return the rig that recorded a frame set: all its cameras, or its first frame.

    Raises
    ------
    InputError
        Not a frame set, or one without a camera that is calibrated to a scan.
    """
    frame_set = load_frame_set(folder)
    frames = frame_set.frames if frame_set.multi_camera else frame_set.frames[:1]
    scan_name = _densest_scan(frame_set)
    cameras = []
    for number, frame in enumerate(frames):
        if frame.camera is None:
            raise InputError('bench', f'frame {frame.id} of {folder} has no K, so it is no rig.')
        cameras.append(
            RigCamera(
                f'camera{number}' if len(frames) > 1 else '',
                frame.load_image(),
                frame.camera,
                frame.T_camera_sensor(scan_name),
            )
        )
    scan = frames[0].load_points(scan_name)['xyz']
    rate_hz = frame_set.rate_hz or _DEFAULT_RATE_HZ
    return Rig(frame_set.name, rate_hz, tuple(cameras), scan)


def _densest_scan(frame_set: FrameSet) -> str:
    first = frame_set.frames[0]
    scans = [name for name, entry in first.prompts.items() if entry.format == 'points']
    if not scans:
        raise InputError(
            'bench', f'frame set {frame_set.name} has no scan (a prompt of format points).'
        )
    return max(scans, key=lambda name: len(first.load_points(name)['xyz']))


def _looking(yaw_rad: float) -> NDArray[np.float64]:
    """Return (4, 4) from a LiDAR (x forward, y left, z up) to a camera that looks aside."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    T = np.eye(4)
    T[:3, :3] = (sin, -cos, 0.0), (0.0, 0.0, -1.0), (cos, sin, 0.0)
    return T
