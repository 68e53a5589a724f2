# SPDX-License-Identifier: Apache-2.0
"""The floor of every node: bytes come in, bytes of another size go out, nothing is looked at.

A process of its own: ``python -m metric_depth_ros.bench.echo BYTES``. Messages stay serialized,
the answer is one buffer with the stamp of the question in it.
"""

from __future__ import annotations

import sys
from array import array

import rclpy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, PointCloud2

from metric_depth_ros.ros.qos import output_qos, sensor_qos

# CDR: 4 bytes of encapsulation, then the stamp (8 bytes) of the header.
_STAMP = slice(4, 12)


def main() -> int:
    """Answer every image until interrupted."""
    size = int(sys.argv[1])
    rclpy.init()
    node = rclpy.create_node('echo')
    answers = node.create_publisher(Image, 'depth/image', output_qos())
    empty = Image(height=1, width=size // 4, encoding='32FC1', step=size)
    empty.data = array('B', bytes(size))
    answer = bytearray(serialize_message(empty))

    def on_image(question: bytes) -> None:
        answer[_STAMP] = question[_STAMP]
        answers.publish(bytes(answer))

    node.create_subscription(Image, 'image', on_image, sensor_qos(2), raw=True)
    for topic, kind in (('points', PointCloud2), ('sensor_depth/image', Image)):
        node.create_subscription(kind, topic, lambda data: None, sensor_qos(5), raw=True)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        return 0
    return 0


if __name__ == '__main__':
    sys.exit(main())
