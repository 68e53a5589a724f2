# SPDX-License-Identifier: Apache-2.0
"""The depth node's outputs as another node's inputs: depth, camera and confidence of one image."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from metric_depth_ros.codecs.camera_info import camera_from_info
from metric_depth_ros.codecs.compressed import decode_compressed_color
from metric_depth_ros.codecs.image import decode_color, decode_depth
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.messages import stamp_ns
from metric_depth_ros.ros.qos import (
    overridable,
    refused_overrides,
    sensor_qos,
    subscription_events,
)
from metric_depth_ros.ros.stamp_sets import StampSets

DEPTH, CAMERA_INFO, CONFIDENCE = 'depth/image', 'depth/camera_info', 'depth/confidence'
COLOR = 'image'
COLOR_TRANSPORTS = ('none', 'raw', 'compressed')
_QUEUE = 5
_IMAGES_MEANWHILE = 40  # that a camera sends while the depth of one of them is computed

Messages = dict[str, Any]


@dataclass(frozen=True, eq=False)
class DenseDepth:
    """What a depth node has published of one image.

    Parameters
    ----------
    stamp_ns, frame_id
        Of the image; the frame is optical.
    depth
        (H, W) float32 meters along the optical axis, NaN unknown, +Inf beyond range.
    camera
        Of the depth.
    confidence
        (H, W) float32 in [0, 1], or None.
    image
        (H, W, 3) uint8 RGB, or None.
    """

    stamp_ns: int
    frame_id: str
    depth: NDArray[np.float32]
    camera: CameraModel
    confidence: NDArray[np.float32] | None = None
    image: NDArray[np.uint8] | None = None


def decode_dense(messages: Messages) -> DenseDepth:
    """Return the depth that messages of one stamp hold, rclpy's or a bag's.

    Raises
    ------
    InputError
        A message that cannot be decoded, or sizes that differ.
    """
    header = messages[DEPTH].header
    depth = decode_depth(messages[DEPTH])
    camera = camera_from_info(messages[CAMERA_INFO])
    confidence = messages.get(CONFIDENCE)
    color = messages.get(COLOR)
    dense = DenseDepth(
        stamp_ns(header),
        header.frame_id,
        depth,
        camera,
        None if confidence is None else decode_depth(confidence),
        None if color is None else _decode_color(color),
    )
    _check_sizes(dense)
    return dense


def _decode_color(message: Any) -> NDArray[np.uint8]:
    is_compressed = hasattr(message, 'format')
    return decode_compressed_color(message) if is_compressed else decode_color(message)


def _check_sizes(dense: DenseDepth) -> None:
    height, width = dense.depth.shape
    others = {CAMERA_INFO: (dense.camera.height, dense.camera.width)}
    for topic, values in ((CONFIDENCE, dense.confidence), (COLOR, dense.image)):
        if values is not None:
            others[topic] = values.shape[:2]
    for topic, (rows, columns) in others.items():
        if (rows, columns) != (height, width):
            raise InputError(
                'dense_size',
                f'{DEPTH} is {width}x{height} but {topic} of the same stamp is {columns}x{rows}: '
                'remap all of them to the outputs of one depth node.',
            )


class DenseInputs:
    """Subscriptions to the outputs of a depth node.

    Parameters
    ----------
    node
        Node to subscribe with.
    on_set
        Called with the messages of one stamp by topic, in the order of the stamps; `decode_dense`
        reads them.
    faults
        Where what is wrong with a topic is reported.
    camera
        Name of the camera, which the topics begin with where the depth node has several.
    color
        How the color image is subscribed to: one of `COLOR_TRANSPORTS`.
    on_jump
        Called when the stamps went back.
    """

    def __init__(
        self,
        node: Node,
        on_set: Callable[[Messages], None],
        faults: FaultLog,
        *,
        camera: str = '',
        color: str = 'none',
        on_jump: Callable[[], None] = lambda: None,
    ) -> None:
        self._node = node
        self._faults = faults
        prefix = f'{camera}/' if camera else ''
        self._kinds: dict[str, tuple[str, type]] = {
            DEPTH: (prefix + DEPTH, Image),
            CAMERA_INFO: (prefix + CAMERA_INFO, CameraInfo),
            CONFIDENCE: (prefix + CONFIDENCE, Image),
        }
        if color == 'raw':
            self._kinds[COLOR] = (prefix + COLOR, Image)
        elif color == 'compressed':
            self._kinds[COLOR] = (f'{prefix}{COLOR}/compressed', CompressedImage)
        self.topics = {s: node.resolve_topic_name(topic) for s, (topic, _) in self._kinds.items()}
        self._heard_s: dict[str, float] = {}
        self._sets: StampSets[Any] = StampSets(
            (DEPTH, CAMERA_INFO),
            [stream for stream in self._kinds if stream not in (DEPTH, CAMERA_INFO)],
            lambda stamp, messages: on_set(messages),
            on_jump,
            capacity=_QUEUE if color == 'none' else _IMAGES_MEANWHILE,
        )
        self._subscriptions: list[Subscription] = []

    @property
    def incomplete(self) -> int:
        """Depth images that no CameraInfo of the same stamp came with."""
        return self._sets.incomplete

    def open(self) -> None:
        """Subscribe.

        Raises
        ------
        InputError
            Quality of service overrides that cannot be.
        """
        for stream, (topic, kind) in self._kinds.items():
            resolved = self.topics[stream]
            with refused_overrides(resolved):
                subscription = self._node.create_subscription(
                    kind,
                    topic,
                    self._receiver(stream),
                    sensor_qos(_QUEUE),
                    event_callbacks=subscription_events(resolved, self._faults.report),
                    qos_overriding_options=overridable(),
                )
            self._subscriptions.append(subscription)

    def close(self) -> None:
        """Destroy the subscriptions."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def silent_s(self, stream: str) -> float | None:
        """Return how long a stream has sent nothing, None if it never has."""
        heard_s = self._heard_s.get(stream)
        return None if heard_s is None else time.monotonic() - heard_s

    def publisher_count(self, stream: str) -> int:
        """Return how many publishers a stream has."""
        return int(self._node.count_publishers(self.topics[stream]))

    def _receiver(self, stream: str) -> Callable[[Any], None]:
        def receive(message: Any) -> None:
            self._heard_s[stream] = time.monotonic()
            self._sets.add(stream, message, stamp_ns(message.header))

        return receive
