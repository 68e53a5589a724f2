# SPDX-License-Identifier: Apache-2.0
"""Projection of a 120,000-point scan onto 1242x375, against the bare rigid transform."""

from __future__ import annotations

import numpy as np

from metric_depth_ros.bench.scene import surround_scan
from metric_depth_ros.bench.stopwatch import Row, race
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.geometry.projection import project_cloud
from metric_depth_ros.types import CameraModel

# Optical axes in a LiDAR frame: right = -y, down = -z, forward = x.
_T_CAMERA_LIDAR = np.array(
    [
        [0.0, -1.0, 0.0, 0.05],
        [0.0, 0.0, -1.0, -0.08],
        [1.0, 0.0, 0.0, -0.27],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def run(rounds: int) -> list[Row]:
    """Time the parts of projection; the full one may cost ten bare transforms."""
    xyz = surround_scan(120_000)
    rotation = _T_CAMERA_LIDAR[:3, :3].astype(np.float32)
    translation = _T_CAMERA_LIDAR[:3, 3].astype(np.float32)
    pinhole = CameraModel.pinhole(1242, 375, 721.5, 721.5, 609.6, 172.9)
    lens = Distortion('plumb_bob', (-0.37, 0.2, 0.0005, 0.0001, -0.07))
    distorted = CameraModel(1242, 375, pinhole.K, lens)
    return race(
        {
            'xyz @ R.T + t': lambda: xyz @ rotation.T + translation,
            'z-buffer only': lambda: project_cloud(
                pinhole, xyz, _T_CAMERA_LIDAR, remove_occluded=False
            ),
            'projection': lambda: project_cloud(pinhole, xyz, _T_CAMERA_LIDAR),
            'projection, distorted lens': lambda: project_cloud(distorted, xyz, _T_CAMERA_LIDAR),
        },
        rounds,
        bars={'projection': 10.0},
    )
