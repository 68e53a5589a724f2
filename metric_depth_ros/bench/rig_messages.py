# SPDX-License-Identifier: Apache-2.0
"""A rig as the messages that it sends, and as the parameters of the node that serves it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from metric_depth_ros.bench.rigs import Rig, RigCamera
from metric_depth_ros.codecs.camera_info import camera_to_fields
from metric_depth_ros.codecs.image import ImageFields, encode_color, encode_depth
from metric_depth_ros.codecs.pointcloud import encode_cloud
from metric_depth_ros.ros.messages import (
    MessageBuffer,
    camera_info_message,
    cloud_message,
    image_message,
)

LIDAR = 'lidar'


@dataclass(frozen=True, eq=False)
class RigMessage:
    """A message of a rig: its topic, and itself as an object and as bytes."""

    topic: str
    message: Any

    @property
    def kind(self) -> type:
        """Type of the message."""
        return type(self.message)

    def serialized(self) -> bytes:
        """Return what goes over the wire."""
        data: bytes = serialize_message(self.message)
        return data


def messages_of(rig: Rig) -> list[RigMessage]:
    """Return one frame of a rig in the order of sending: scan, then camera by camera."""
    messages = [] if rig.scan is None else [RigMessage('points', _cloud(rig.scan))]
    for camera in rig.cameras:
        messages += _camera_messages(camera)
    return messages


def node_parameters(rig: Rig, folder: Path) -> dict[str, object]:
    """Return the parameters of a node for a rig; its calibration is written into `folder`."""
    names = [camera.name for camera in rig.cameras if camera.name]
    parameters: dict[str, object] = {
        'prompt.sources': f'[{rig.source}]',
        'prompt.depth_alignment': 'registered',
        'max_frame_age_s': 0.0,  # late is slow, but it counts
        'extrinsics.source': 'file',
        'extrinsics.path': _write_calibration(rig, folder),
    }
    return {**parameters, 'cameras': f'[{", ".join(names)}]'} if names else parameters


def _write_calibration(rig: Rig, folder: Path) -> Path:
    path = folder / 'rig.yaml'
    lines = ['transforms:']
    for camera in rig.cameras:
        T = np.eye(4) if camera.T_camera_lidar is None else camera.T_camera_lidar
        rows = np.linalg.inv(T)[:3].tolist()
        child = _frame_id(camera)
        lines.append(f'  - {{parent: {LIDAR}, child: {child}, matrix: {rows}}}')
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return path


def _frame_id(camera: RigCamera) -> str:
    return f'{camera.name or "camera"}_optical_frame'


def _camera_messages(camera: RigCamera) -> list[RigMessage]:
    info: CameraInfo = camera_info_message(Image().header, camera_to_fields(camera.camera))
    by_topic: dict[str, Any] = {'camera_info': info}
    if camera.depth is not None:
        by_topic['sensor_depth/image'] = _image(encode_depth(camera.depth, '16UC1'))
    by_topic['image'] = _image(encode_color(camera.image, 'rgb8'))
    for message in by_topic.values():
        message.header.frame_id = _frame_id(camera)
    return [RigMessage(camera.prefix + topic, message) for topic, message in by_topic.items()]


def _image(fields: ImageFields) -> Image:
    return image_message(Image().header, fields, MessageBuffer.holding(fields.data))


def _cloud(scan: np.ndarray) -> PointCloud2:
    x, y, z = scan.T
    fields = encode_cloud({'x': x, 'y': y, 'z': z, 'intensity': np.ones_like(x)})
    buffer = MessageBuffer.holding(fields.data)
    cloud = cloud_message(PointCloud2().header, fields, buffer)
    cloud.header.frame_id = LIDAR
    return cloud
