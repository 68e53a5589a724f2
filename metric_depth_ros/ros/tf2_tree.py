# SPDX-License-Identifier: Apache-2.0
"""The transform tree of the running system, where tf2 is installed. Imports it when it is made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from metric_depth_ros.codecs.poses import matrix_from_transform
from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.ros.stamps import BackwardJump
from metric_depth_ros.ros.static_tree import check_named

if TYPE_CHECKING:
    from rclpy.node import Node

# Within 10 s of its newest transform tf2 takes older ones; frames out of order are no jump.
_JUMP_NS = 5 * NS_PER_S
_WAIT_STEP_S = 0.004
_MOST_SKIPPED = 64  # lookups that do not wait after motion has been waited for in vain


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
    max_wait_s
        Longest time that a lookup waits for a transform that is about to arrive.

    Raises
    ------
    InputError
        tf2_ros is not installed.
    """

    problem = ''

    def __init__(
        self, node: Node, fault: str, parameter: str, instead: str, max_wait_s: float = 0.0
    ) -> None:
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
        self._max_wait_s = max_wait_s
        self._listener = tf2_ros.TransformListener(self.buffer, node, spin_thread=False)

    def lookup_at(
        self, target_frame: str, source_frame: str, stamp_ns: int, *, wait: bool = True
    ) -> Transform:
        """Return the transform at a stamp.

        Stamps come in any order: an older one is no clock that went back.
        """
        from rclpy.time import Time

        check_named(target_frame, source_frame)
        target_frame, source_frame = target_frame.lstrip('/'), source_frame.lstrip('/')
        asked = target_frame, source_frame, Time(nanoseconds=stamp_ns)
        if wait:
            self.arrives(lambda: self.buffer.can_transform(*asked))
        try:
            return matrix_from_transform(self.buffer.lookup_transform(*asked).transform)
        except self.unknown as error:
            raise InputError(
                'transform_missing',
                f'no transform from {source_frame!r} to {target_frame!r} on /tf and /tf_static at '
                f'{stamp_ns / NS_PER_S:.3f} s: {error}. Publish it; tf2 keeps ten seconds.',
            ) from error

    def try_lookup(self, target_frame: str, source_frame: str, stamp_ns: int) -> Transform | None:
        """Return the transform at a stamp without waiting, None while that is not known."""
        from rclpy.time import Time

        target_frame, source_frame = target_frame.lstrip('/'), source_frame.lstrip('/')
        try:
            return self.lookup_at(target_frame, source_frame, stamp_ns, wait=False)
        except InputError:
            if self.buffer.can_transform(target_frame, source_frame, Time()):
                return None
            raise

    def arrives(self, known: Callable[[], bool]) -> bool:
        """Wait until something is known; False if that takes longer than it may."""
        ends_s = time.monotonic() + self._max_wait_s
        while not known():
            if time.monotonic() >= ends_s:
                return False
            time.sleep(_WAIT_STEP_S)
        return True

    def clear(self) -> None:
        """Forget what moves; what is static stays."""
        self.buffer.clear()

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()


def extrinsics_tree(node: Node, max_wait_s: float) -> Tf2Tree:
    """Return the tree where extrinsics.source asks for it.

    Raises
    ------
    InputError
        tf2_ros is not installed.
    """
    instead = 'extrinsics.source to file or bag and extrinsics.path'
    return Tf2Tree(node, 'extrinsics', 'extrinsics.source', instead, max_wait_s)


class Tf2Extrinsics:
    """Where the tree has the sensors, each at the stamp of what it measured.

    Parameters
    ----------
    node
        Node whose executor feeds the listener.
    fixed_frame
        Frame that both stamps are related through; empty or unknown: rigidly mounted.
    max_wait_s
        Longest time that a lookup waits for motion: odometry arrives a little after the images
        that it belongs to.

    Raises
    ------
    InputError
        tf2_ros is not installed.
    """

    problem = ''

    def __init__(self, node: Node, fixed_frame: str, max_wait_s: float) -> None:
        self._tree = extrinsics_tree(node, max_wait_s)
        self._fixed_frame = fixed_frame.lstrip('/')  # tf2 knows no frame that begins with it
        self._jumps = BackwardJump(_JUMP_NS)  # by camera: those of several may differ in clock
        self._judging = threading.Lock()
        self._skipped = self._to_skip = 0  # lookups since one waited in vain

    def lookup(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform:
        """Return the transform, moved through the fixed frame where the tree knows it."""
        from rclpy.time import Time

        check_named(camera_frame, sensor_frame)
        camera_frame, sensor_frame = camera_frame.lstrip('/'), sensor_frame.lstrip('/')
        stamps = camera_frame, camera_stamp_ns, sensor_frame, sensor_stamp_ns
        moved = self.lookup_through_fixed_frame(*stamps)
        if moved is not None:
            return moved
        try:
            found = self._tree.buffer.lookup_transform(camera_frame, sensor_frame, Time())
        except self._tree.unknown as error:
            raise InputError(
                'transform_missing',
                f'no transform from {sensor_frame!r} to {camera_frame!r} on /tf and /tf_static: '
                f'{error}. Publish it (static_transform_publisher), or set extrinsics.source to '
                'file or bag.',
            ) from error
        return matrix_from_transform(found.transform)

    def lookup_through_fixed_frame(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform | None:
        """Return the transform through the fixed frame, None where the tree does not know it.

        A transform that is about to arrive is waited for; where that was in vain time and again,
        ever fewer lookups wait.
        """
        from rclpy.time import Time

        camera_frame, sensor_frame = camera_frame.lstrip('/'), sensor_frame.lstrip('/')
        self._forget_if_jumped_back(camera_frame, camera_stamp_ns)
        named = self._fixed_frame and camera_frame and sensor_frame
        if not named or not self._tree.buffer.can_transform(
            self._fixed_frame, camera_frame, Time()
        ):
            return None
        camera_time = Time(nanoseconds=camera_stamp_ns)
        sensor_time = Time(nanoseconds=sensor_stamp_ns)
        asked = (camera_frame, camera_time, sensor_frame, sensor_time, self._fixed_frame)
        try:
            self._wait_for(asked)
            found = self._tree.buffer.lookup_transform_full(*asked)
        except self._tree.unknown:
            return None
        return matrix_from_transform(found.transform)

    def close(self) -> None:
        """Stop listening."""
        self._tree.close()

    def _wait_for(self, asked: tuple[object, ...]) -> None:
        """Wait, after one time in vain at every second lookup, then at every third, fifth ..."""
        known = partial(self._tree.buffer.can_transform_full, *asked)
        if not known() and self._skipped < self._to_skip:
            self._skipped += 1
        elif self._tree.arrives(known):
            self._to_skip = 0
        else:
            self._skipped, self._to_skip = 0, min(max(1, 2 * self._to_skip), _MOST_SKIPPED)

    def _forget_if_jumped_back(self, camera_frame: str, stamp_ns: int) -> None:
        """Let the tree take transforms that are older than those it has: a bag began anew."""
        with self._judging:
            if self._jumps.seen(stamp_ns, camera_frame):
                self._tree.clear()
