# SPDX-License-Identifier: Apache-2.0
"""Subscriptions whose large messages are read in place (`codecs.cdr`), not copied by rclpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from metric_depth_ros.codecs.cdr import (
    WireMessage,
    read_cloud,
    read_compressed_image,
    read_image,
)
from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.qos import Warn, subscribe

READERS: dict[type, Callable[[bytes], WireMessage]] = {
    Image: read_image,
    CompressedImage: read_compressed_image,
    PointCloud2: read_cloud,
}


def subscribe_in_place(
    node: Node,
    kind: type,
    topic: str,
    callback: Callable[[Any], None],
    profile: QoSProfile,
    warn: Warn,
    damaged: Callable[[], object] = lambda: None,
) -> Subscription:
    """Subscribe as `qos.subscribe`; images and clouds come as records of `codecs.cdr`.

    Parameters
    ----------
    node, kind, topic, callback, profile, warn
        As there; `warn` is called for bytes that are no message, too.
    damaged
        Called beside it.

    Raises
    ------
    InputError
        As there.
    """
    read = READERS.get(kind)
    if read is None:
        return subscribe(node, kind, topic, callback, profile, warn)
    resolved = node.resolve_topic_name(topic)

    def receive(serialized: bytes) -> None:
        try:
            message = read(serialized)
        except InputError as error:
            damaged()
            warn(resolved, error.fault, str(error))
        else:
            callback(message)

    return subscribe(node, kind, topic, receive, profile, warn, raw=True)
