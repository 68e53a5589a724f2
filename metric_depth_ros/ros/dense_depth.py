# SPDX-License-Identifier: Apache-2.0
"""`DenseDepth`: what a depth node has published of one image. Knows no ROS, reads bags as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.codecs.camera_info import camera_from_info
from metric_depth_ros.codecs.compressed import decode_compressed_color
from metric_depth_ros.codecs.image import decode_color, decode_depth
from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.errors import InputError
from metric_depth_ros.types import CameraModel, DepthEstimate, Frame

DEPTH, CAMERA_INFO, CONFIDENCE = 'depth/image', 'depth/camera_info', 'depth/confidence'
COLOR = 'image'
_GRAY = 160


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

    @property
    def frame(self) -> Frame:
        """The image with its camera; gray where no image is known."""
        image = self.image
        if image is None:
            image = np.full((*self.depth.shape, 3), _GRAY, np.uint8)
        return Frame(self.stamp_ns, self.frame_id, image, self.camera)

    @property
    def estimate(self) -> DepthEstimate:
        """What was published."""
        return DepthEstimate(self.depth, self.confidence, self.camera, 'published')


def decode_dense(stamp_ns: int, messages: Mapping[str, Message]) -> DenseDepth:
    """Return the depth that messages of one stamp hold, rclpy's or a bag's.

    Parameters
    ----------
    stamp_ns
        Their stamp.
    messages
        By `DEPTH`, `CAMERA_INFO` and where they are there `CONFIDENCE` and `COLOR`.

    Raises
    ------
    InputError
        A message that cannot be decoded, sizes that differ, or the CameraInfo of another camera.
    """
    _check_frames(messages[DEPTH], messages[CAMERA_INFO])
    depth = decode_depth(messages[DEPTH])
    camera = camera_from_info(messages[CAMERA_INFO])
    confidence = messages.get(CONFIDENCE)
    color = messages.get(COLOR)
    dense = DenseDepth(
        stamp_ns,
        messages[DEPTH].header.frame_id,
        depth,
        camera,
        None if confidence is None else decode_depth(confidence),
        None if color is None else _decode_color(color),
    )
    _check_sizes(dense)
    return dense


def _decode_color(message: Message) -> NDArray[np.uint8]:
    is_compressed = hasattr(message, 'format')
    return decode_compressed_color(message) if is_compressed else decode_color(message)


def _check_frames(depth: Message, info: Message) -> None:
    of_depth, of_info = depth.header.frame_id, info.header.frame_id
    if of_info and of_info.lstrip('/') != of_depth.lstrip('/'):
        raise InputError(
            'dense_frame',
            f'{CAMERA_INFO} is of {of_info!r} but {DEPTH} of the same stamp is of {of_depth!r}, '
            'another camera: remap both to the outputs of one depth node, and let nobody else '
            'publish there.',
        )


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
