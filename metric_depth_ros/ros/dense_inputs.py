# SPDX-License-Identifier: Apache-2.0
"""The depth node's outputs as another node's inputs: depth, camera and confidence of one image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from metric_depth_ros.codecs.stamps import stamp_ns
from metric_depth_ros.ros.dense_depth import CAMERA_INFO, COLOR, CONFIDENCE, DEPTH
from metric_depth_ros.ros.diagnostics import Problem, counted_problems
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.stamp_sets import StampSets
from metric_depth_ros.ros.stream_subscriptions import StreamSubscriptions

_QUEUE = 5
_IMAGES_MEANWHILE = 40  # that a camera sends while the depth of one of them is computed


class DenseInputs:
    """Subscriptions to the outputs of a depth node.

    Parameters
    ----------
    node
        Node to subscribe with.
    on_set
        Called with a stamp (ns) and its messages, in the order of the stamps; `decode_dense`
        reads them.
    faults
        Where what is wrong with a topic is reported.
    camera
        Name of the camera, which the topics begin with where the depth node has several.
    color
        How the color image is subscribed to: none, raw or compressed.
    on_jump
        Called when the stamps went back.
    """

    def __init__(
        self,
        node: Node,
        on_set: Callable[[int, dict[str, Any]], None],
        faults: FaultLog,
        *,
        camera: str = '',
        color: str = 'none',
        on_jump: Callable[[], None] = lambda: None,
    ) -> None:
        prefix = f'{camera}/' if camera else ''
        streams: dict[str, tuple[str, type]] = {
            DEPTH: (prefix + DEPTH, Image),
            CAMERA_INFO: (prefix + CAMERA_INFO, CameraInfo),
            CONFIDENCE: (prefix + CONFIDENCE, Image),
        }
        if color == 'raw':
            streams[COLOR] = (prefix + COLOR, Image)
        elif color == 'compressed':
            streams[COLOR] = (f'{prefix}{COLOR}/compressed', CompressedImage)
        self._subscriptions = StreamSubscriptions(node, streams, _QUEUE, faults)
        self.topics = self._subscriptions.topics
        self._sets: StampSets[Any] = StampSets(
            (DEPTH, CAMERA_INFO),
            [stream for stream in streams if stream not in (DEPTH, CAMERA_INFO)],
            on_set,
            on_jump,
            capacity=_QUEUE if color == 'none' else _IMAGES_MEANWHILE,
        )

    def open(self) -> None:
        """Subscribe.

        Raises
        ------
        InputError
            Quality of service overrides that cannot be.
        """
        self._subscriptions.open(self._receive)

    def close(self) -> None:
        """Destroy the subscriptions."""
        self._subscriptions.close()

    def problems(self, limit_s: float) -> list[Problem]:
        """Return what is lacking for depth: topics, and stamps since this was asked last.

        Parameters
        ----------
        limit_s
            A topic that has sent nothing for longer is silent.
        """
        silent = self._subscriptions.silent
        problems = silent(DEPTH, limit_s) + silent(CAMERA_INFO, limit_s)
        what = f'messages of {self.topics[DEPTH]}'
        became = (
            f'had no {self.topics[CAMERA_INFO]} of the same stamp: remap both to the outputs of '
            'one depth node'
        )
        return problems + counted_problems(self._sets.tally.new(), what, {'incomplete': became})

    def _receive(self, stream: str, message: Any) -> None:
        self._sets.add(stream, message, stamp_ns(message.header.stamp))
