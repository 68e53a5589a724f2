# SPDX-License-Identifier: Apache-2.0
"""The floor of every node: bytes come in, bytes of another size go out, nothing is looked at.

A process of its own: ``python -m metric_depth_ros.bench.echo BYTES PREFIX...``, a prefix for each
camera (``''`` for one without a name). Messages stay serialized, and every answer is the same
object: no byte is touched that the middleware does not touch.
"""

from __future__ import annotations

import sys
from array import array
from contextlib import suppress
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from metric_depth_ros.ros.qos import output_qos, sensor_qos

_IMAGE_DEPTH, _MEASUREMENT_DEPTH = 2, 5


def main() -> int:
    """Answer every image until interrupted."""
    size, prefixes = int(sys.argv[1]), sys.argv[2:]
    rclpy.init(args=[])
    node = rclpy.create_node('echo', namespace='floor', enable_rosout=False)
    image = Image(height=1, width=size // 4, encoding='32FC1', step=size)
    image.data = array('B', bytes(size))
    answer = serialize_message(image)
    _ignore(node, PointCloud2, 'points')
    for prefix in prefixes:
        _ignore(node, CameraInfo, f'{prefix}camera_info')
        _ignore(node, Image, f'{prefix}sensor_depth/image')
        _answer(node, prefix, answer)
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)
    return 0


def _ignore(node: Node, kind: type, topic: str) -> None:
    profile = sensor_qos(_MEASUREMENT_DEPTH)
    node.create_subscription(kind, topic, lambda data: None, profile, raw=True)


def _answer(node: Node, prefix: str, answer: bytes) -> None:
    publisher = node.create_publisher(Image, f'{prefix}depth/image', output_qos())

    def on_image(_: Any) -> None:
        publisher.publish(answer)

    node.create_subscription(Image, f'{prefix}image', on_image, sensor_qos(_IMAGE_DEPTH), raw=True)


if __name__ == '__main__':
    sys.exit(main())
