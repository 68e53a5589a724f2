# SPDX-License-Identifier: Apache-2.0
"""A camera whose node runs in this process: its messages are handed over, not sent.

The node of the camera offers; the depth node takes what it would subscribe to, in the thread of
the camera. Knows no ROS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from metric_depth_ros.ros.static_tree import StaticTree


class CameraFeed:
    """Streams of one camera.

    Parameters
    ----------
    topics
        Name of the topic that carries the same messages, by stream of the depth node.
    """

    def __init__(self, topics: Mapping[str, str]) -> None:
        self.topics = dict(topics)
        self.tree = StaticTree({}, 'the camera, which has not been opened yet')
        self._callbacks: dict[str, Callable[[Any], None]] = {}

    def connect(self, stream: str, callback: Callable[[Any], None]) -> None:
        """Hand the messages of a stream to a callback from now on."""
        self._callbacks[stream] = callback

    def disconnect(self) -> None:
        """Hand over nothing any more."""
        self._callbacks.clear()

    def wants(self, stream: str) -> bool:
        """Tell whether anybody takes a stream."""
        return stream in self._callbacks

    def offer(self, stream: str, message: object) -> None:
        """Hand a message over, if anybody takes its stream. It must not change afterwards."""
        callback = self._callbacks.get(stream)
        if callback is not None:
            callback(message)
