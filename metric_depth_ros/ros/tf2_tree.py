# SPDX-License-Identifier: Apache-2.0
"""The transform tree of the running system, where tf2 is installed. Imports it when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metric_depth_ros.codecs.layout import Message
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.rigid import Transform, transform_from_quaternion

if TYPE_CHECKING:
    from rclpy.node import Node


class Tf2Tree:
    """A buffer of tf2 that hears /tf and /tf_static.

    `buffer` is asked as tf2 documents it, and raises `unknown` for what it does not know.

    Parameters
    ----------
    node
        Node whose executor feeds the listener.
    fault, parameter
        Of the refusal: its slug, and the parameter that asks for tf2.
    instead
        What to set where tf2 is not installed.

    Raises
    ------
    InputError
        tf2_ros is not installed.
    """

    def __init__(self, node: Node, fault: str, parameter: str, instead: str) -> None:
        try:
            import tf2_ros
        except ImportError as error:
            raise InputError(
                fault,
                f'{parameter} is tf2, but tf2_ros is not installed (sudo apt install '
                f'ros-$ROS_DISTRO-tf2-ros-py). Without it, set {instead}.',
            ) from error
        self.unknown: type[Exception] = tf2_ros.TransformException
        self.buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self.buffer, node, spin_thread=False)

    def clear(self) -> None:
        """Forget what moves; what is static stays."""
        self.buffer.clear()

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()


def matrix_of(stamped: Message) -> Transform:
    """Return a geometry_msgs/TransformStamped as (4, 4)."""
    move, turn = stamped.transform.translation, stamped.transform.rotation
    return transform_from_quaternion((move.x, move.y, move.z), (turn.x, turn.y, turn.z, turn.w))
