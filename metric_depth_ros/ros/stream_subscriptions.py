# SPDX-License-Identifier: Apache-2.0
"""Subscriptions to several streams of sensor data that open and close together.

They know which of their streams are silent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription

from metric_depth_ros.ros.diagnostics import Problem
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.in_place import subscribe_in_place
from metric_depth_ros.ros.qos import sensor_qos
from metric_depth_ros.ros.silence import Silence


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
    faults
        Where what is wrong with a topic is reported.
    """

    def __init__(
        self,
        node: Node,
        streams: Mapping[str, tuple[str, type]],
        depth: int,
        faults: FaultLog,
    ) -> None:
        self.topics = {s: node.resolve_topic_name(topic) for s, (topic, _) in streams.items()}
        self._node = node
        self._streams = dict(streams)
        self._depth = depth
        self._faults = faults
        self._silence = Silence(node, streams, faults)
        self._heard_s: dict[str, float] = {}
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

        def hear(stream: str, message: Any) -> None:
            self._heard_s[stream] = time.monotonic()
            receive(stream, message)

        for name, (topic, kind) in self._streams.items():
            callback, profile = partial(hear, name), sensor_qos(self._depth)
            self._open.append(
                subscribe_in_place(self._node, kind, topic, callback, profile, self._faults.report)
            )

    def close(self) -> None:
        """Destroy the subscriptions."""
        while self._open:
            self._node.destroy_subscription(self._open.pop())

    def silent(self, stream: str, limit_s: float = math.inf) -> list[Problem]:
        """Return the problem of a stream that is silent, none where it is not.

        Parameters
        ----------
        stream
            Its name.
        limit_s
            It may send nothing for this long; without one, it is enough that it ever has.
        """
        heard_s = self._heard_s.get(stream)
        silent_s = None if heard_s is None else time.monotonic() - heard_s
        if silent_s is not None and silent_s <= limit_s:
            return []
        return [self._silence.problem(stream, self.topics[stream], silent_s)]
