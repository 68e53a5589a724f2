# SPDX-License-Identifier: Apache-2.0
"""Poses and transforms of messages as (4, 4). NumPy, `geometry` and `errors` only."""

from __future__ import annotations

from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.geometry.rigid import Transform, transform_from_quaternion


def matrix_from_transform(message: Message) -> Transform:
    """Return a geometry_msgs/Transform as (4, 4).

    Raises
    ------
    InputError
        Values not finite, or a quaternion of zero length.
    """
    return _matrix(message.translation, message.rotation)


def matrix_from_pose(message: Message) -> Transform:
    """Return a geometry_msgs/Pose as (4, 4).

    Raises
    ------
    InputError
        Values not finite, or a quaternion of zero length.
    """
    return _matrix(message.position, message.orientation)


def _matrix(place: Message, turn: Message) -> Transform:
    return transform_from_quaternion((place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w))
