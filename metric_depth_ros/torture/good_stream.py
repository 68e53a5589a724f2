# SPDX-License-Identifier: Apache-2.0
"""The good stream that runs beside every fault: a camera and a LiDAR before a wall."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from metric_depth_ros.codecs.stamps import sec_nanosec
from metric_depth_ros.torture.subject import FAULTS, MARK

WIDTH, HEIGHT = 64, 48
WALL_M = 5.0
CALIBRATION = """\
transforms:
  - parent: camera
    child: lidar
    matrix: [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]]
"""
Messages = dict[str, Any]


def frame(
    stamp_ns: int, width: int = WIDTH, height: int = HEIGHT, fault: str = '', points: int = 300
) -> Messages:
    """Return the messages of one frame by topic.

    Parameters
    ----------
    stamp_ns
        Stamp of all of them.
    width, height
        Of the image.
    fault
        One of `subject.FAULTS` that the image asks the estimator for; empty for none.
    points
        Number of points of the cloud.
    """
    image = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    pixels = bytearray(3 * width * height)
    if fault:
        pixels[:3] = bytes((*MARK, FAULTS.index(fault)))
    image.data = array('B', pixels)
    info = CameraInfo(height=height, width=width, distortion_model='plumb_bob')
    focal = 50.0 * width / WIDTH
    info.k = [focal, 0.0, width / 2.0, 0.0, focal, height / 2.0, 0.0, 0.0, 1.0]
    messages = {'camera_info': info, 'points': cloud(wall(points)), 'image': image}
    for topic, message in messages.items():
        message.header.frame_id = 'lidar' if topic == 'points' else 'camera'
        set_stamp(message, stamp_ns)
    return messages


def wall(points: int) -> np.ndarray:
    """Return the scan of a wall, (N, 3) float32 in the frame of the LiDAR."""
    rng = np.random.default_rng(1)
    y, z = rng.uniform(-2.5, 2.5, points), rng.uniform(-1.8, 1.8, points)
    return np.column_stack([np.full(points, WALL_M), y, z]).astype(np.float32)


def cloud(xyz: np.ndarray) -> PointCloud2:
    """Return points (N, 3) as a message."""
    count = len(xyz)
    message = PointCloud2(height=1, width=count, point_step=12, row_step=12 * count)
    message.fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate('xyz')
    ]
    message.data = array('B', np.ascontiguousarray(xyz, '<f4').tobytes())
    return message


def set_stamp(message: Any, stamp_ns: int) -> None:
    """Set the stamp of a header."""
    seconds, nanoseconds = sec_nanosec(stamp_ns)
    message.header.stamp = Time(sec=seconds, nanosec=nanoseconds)
