# SPDX-License-Identifier: Apache-2.0
"""Subscriptions to several streams of sensor data that open and close together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription

from metric_depth_ros.ros.in_place import subscribe_in_place
from metric_depth_ros.ros.qos import Warn, sensor_qos


class StreamSubscriptions:
    """Subscriptions whose messages come with the name of their stream, large ones read in place.

    Parameters
    ----------
    node
        Node to subscribe with.
    streams
        Topic and message type of each.
    depth
        Messages of each that wait in the middleware.
    warn
        Called with the resolved topic, the name of a fault, and a sentence.
    """

    def __init__(
        self,
        node: Node,
        streams: Mapping[str, tuple[str, type]],
        depth: int,
        warn: Warn,
    ) -> None:
        self.topics = {s: node.resolve_topic_name(topic) for s, (topic, _) in streams.items()}
        self._node = node
        self._streams = dict(streams)
        self._depth = depth
        self._warn = warn
        self._open: list[Subscription] = []

    def open(self, receive: Callable[[str, Any], None]) -> None:
        """Subscribe.

        Parameters
        ----------
        receive
            Called with stream and message; held until `close`, so that whoever owns this object
            may be the one who receives.

        Raises
        ------
        InputError
            Quality of service overrides that cannot be.
        """
        for name, (topic, kind) in self._streams.items():
            callback, profile = partial(receive, name), sensor_qos(self._depth)
            self._open.append(
                subscribe_in_place(self._node, kind, topic, callback, profile, self._warn)
            )

    def close(self) -> None:
        """Destroy the subscriptions."""
        while self._open:
            self._node.destroy_subscription(self._open.pop())
