# SPDX-License-Identifier: Apache-2.0
"""The newest image of a camera as a frame, decoded only when somebody asks about it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from metric_depth_ros.codecs.stamps import stamp_ns
from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.assembly import Arrival, Bundle, nearest_arrival
from metric_depth_ros.ros.diagnostics import Problem
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.framing import CameraReader, decode_image
from metric_depth_ros.ros.parameters import CameraSettings
from metric_depth_ros.ros.stamps import BackwardJump
from metric_depth_ros.ros.stream_subscriptions import StreamSubscriptions
from metric_depth_ros.types import Frame

_DEPTH = 2
_INFOS = 4  # one comes before its image or after it


class NewestFrame:
    """Subscriptions to an image and its CameraInfo.

    Parameters
    ----------
    node
        Node to subscribe with.
    transport
        Of the image: raw or compressed.
    camera
        How the image relates to its CameraInfo.
    faults
        Where what is wrong with a topic is reported.
    on_jump
        Called when the stamps of the images went back.
    """

    def __init__(
        self,
        node: Node,
        transport: str,
        camera: CameraSettings,
        faults: FaultLog,
        on_jump: Callable[[], None],
    ) -> None:
        compressed = transport == 'compressed'
        streams: dict[str, tuple[str, type]] = {
            'image': ('image/compressed', CompressedImage) if compressed else ('image', Image),
            'camera_info': ('camera_info', CameraInfo),
        }
        self._subscriptions = StreamSubscriptions(node, streams, _DEPTH, faults)
        self.topics = self._subscriptions.topics
        self._transport = transport
        self._camera = camera
        self._reader = CameraReader()
        self._on_jump = on_jump
        self._jumps = BackwardJump()
        self._image: Arrival | None = None
        self._infos: deque[Arrival] = deque(maxlen=_INFOS)

    def open(self) -> None:
        """Subscribe.

        Raises
        ------
        InputError
            Quality of service overrides that cannot be.
        """
        self._subscriptions.open(self._store)

    def close(self) -> None:
        """Destroy the subscriptions."""
        self._subscriptions.close()

    def problems(self, limit_s: float, *, camera_needed: bool) -> list[Problem]:
        """Return what is silent.

        Parameters
        ----------
        limit_s
            Images may be silent for this long.
        camera_needed
            Whether it is a problem that no CameraInfo has ever come; the last one stays good.
        """
        problems = self._subscriptions.silent('image', limit_s)
        return problems + (self._subscriptions.silent('camera_info') if camera_needed else [])

    def take(self) -> Bundle:
        """Return the newest image, with the CameraInfo of its stamp, else the newest.

        Raises
        ------
        InputError
            ``'image_missing'``: none has come yet.
        """
        image = self._image
        if image is None:
            raise InputError(
                'image_missing',
                f'no image has been received on {self.topics["image"]}: check that the camera '
                'publishes, and remap the topic to where it does.',
            )
        info = nearest_arrival(self._infos, image.stamp_ns, latched=True)
        return Bundle(image, {} if info is None else {'camera_info': info}, 0.0)

    def frame(self, bundle: Bundle, *, camera_needed: bool) -> Frame:
        """Return the frame of messages that were taken.

        Raises
        ------
        InputError
            An image or a CameraInfo that cannot be used.
        """
        pixels = decode_image(bundle.image.message, self._transport)
        frame, _ = self._reader.frame(pixels, bundle, self._camera, camera_needed=camera_needed)
        return frame

    def _store(self, stream: str, message: Any) -> None:
        arrival = Arrival(message, stamp_ns(message.header.stamp), time.monotonic())
        if stream == 'camera_info':
            self._infos.append(arrival)
            return
        self._image = arrival
        if self._jumps.seen(arrival.stamp_ns):
            self._on_jump()
