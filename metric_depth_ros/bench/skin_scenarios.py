# SPDX-License-Identifier: Apache-2.0
"""What robots carry, as messages: the set-ups that the speed of the node is told for."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from metric_depth_ros.bench.scene import Scene, street_like, surround_scan
from metric_depth_ros.codecs.camera_info import camera_to_fields
from metric_depth_ros.codecs.image import ImageFields, encode_color, encode_depth
from metric_depth_ros.codecs.pointcloud import encode_cloud
from metric_depth_ros.ros.messages import (
    MessageBuffer,
    camera_info_message,
    cloud_message,
    image_message,
)


@dataclass(frozen=True)
class Scenario:
    """One set-up.

    Parameters
    ----------
    name
        For tables.
    width, height, rate_hz
        Of each camera.
    points
        Of a scan; 0 for a depth camera of the size of the image instead.
    cameras
        How many; they share the scan.
    bar
        Largest ratio of the node without its estimator to its floor, or None.
    """

    name: str
    width: int
    height: int
    rate_hz: float
    points: int
    cameras: int = 1
    bar: float | None = None

    @property
    def source(self) -> str:
        """The prompt source."""
        return 'points' if self.points else 'sensor_depth'


SCENARIOS = (
    Scenario('VGA RGB-D', 640, 480, 30.0, 0),
    Scenario('KITTI', 1242, 375, 10.0, 120_000),
    Scenario('1080p + 128 lines', 1920, 1080, 10.0, 128 * 1024, bar=3.0),
    Scenario('6 cameras', 1600, 900, 10.0, 32 * 1090, cameras=6),
)


def scene_of(scenario: Scenario) -> Scene:
    """Return the scene that the camera sees."""
    return street_like(scenario.width, scenario.height)


def messages_of(scenario: Scenario, scene: Scene) -> dict[str, Any]:
    """Return the messages of one camera by topic; stamps are set by whoever sends them."""
    messages: dict[str, Any] = {
        'camera_info': _camera_info(scene),
        'image': _image(encode_color(scene.image, 'rgb8')),
    }
    if scenario.points:
        messages = {'points': _cloud(scenario.points), **messages}
    else:
        depth = _image(encode_depth(scene.depth, '16UC1'))
        messages = {'sensor_depth/image': depth, **messages}
    for topic, message in messages.items():
        message.header.frame_id = 'lidar' if topic == 'points' else 'camera'
    return messages


def _camera_info(scene: Scene) -> CameraInfo:
    return camera_info_message(Image().header, camera_to_fields(scene.camera))


def _image(fields: ImageFields) -> Image:
    buffer = MessageBuffer()
    buffer.sized(fields.data.size)[...] = fields.data
    return image_message(Image().header, fields, buffer)


def _cloud(points: int) -> PointCloud2:
    x, y, z = surround_scan(points).T
    fields = encode_cloud({'x': x, 'y': y, 'z': z, 'intensity': np.ones_like(x)})
    buffer = MessageBuffer()
    buffer.array = array('B', fields.data.tobytes())
    return cloud_message(PointCloud2().header, fields, buffer)
