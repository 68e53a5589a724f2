# SPDX-License-Identifier: Apache-2.0
"""Where a camera was at a stamp: from tf2, from odometry, or from poses.

A pose is that of the stamp, interpolated between the two around it. One that is not known yet is
None: whoever asks decides how long to wait. Nothing is extrapolated.
"""

from __future__ import annotations

import bisect
import threading
from typing import Any, Protocol

from rclpy.node import Node

from metric_depth_ros.codecs.poses import matrix_from_pose
from metric_depth_ros.codecs.stamps import NS_PER_S, stamp_ns
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.motion import between
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.ros.extrinsics import Transforms, create_transforms
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.qos import sensor_qos, subscribe
from metric_depth_ros.ros.reconstruct_parameters import ReconstructNodeSettings
from metric_depth_ros.ros.stamps import BackwardJump
from metric_depth_ros.ros.static_tree import check_named
from metric_depth_ros.ros.tf2_tree import Tf2Tree

_KEPT_NS = 30 * NS_PER_S  # poses older than this against the newest are forgotten
# Farther apart than this nobody knows what the robot did in between.
_LARGEST_GAP_NS = NS_PER_S
_QUEUE = 50


class PoseSource(Protocol):
    """Place of a camera in the world."""

    @property
    def topic(self) -> str:
        """What the poses come from, for reports."""
        ...

    @property
    def world(self) -> str:
        """Frame of the places; empty while it is not known."""
        ...

    @property
    def problem(self) -> str:
        """What is wrong at this moment with what the poses come from; empty: nothing."""
        ...

    def at(self, camera_frame: str, stamp_ns: int) -> Transform | None:
        """Return T_world_camera at a stamp, None while it is not known.

        Raises
        ------
        InputError
            It will never be known: the camera is not connected with what poses are given of.
        """
        ...

    def clear(self) -> None:
        """Forget all poses: the clock went back."""
        ...

    def close(self) -> None:
        """Release subscriptions."""
        ...


class Tf2Poses:
    """The transform tree of the running system.

    Parameters
    ----------
    node
        Node whose executor feeds the listener.
    world
        Frame of the places.

    Raises
    ------
    InputError
        tf2_ros is not installed.
    """

    topic = '/tf'
    problem = ''

    def __init__(self, node: Node, world: str) -> None:
        instead = 'pose.source to odometry or pose, and extrinsics.source to file or bag'
        self._tree = Tf2Tree(node, 'pose_source', 'pose.source', instead)
        self.world = world

    def at(self, camera_frame: str, stamp_ns: int) -> Transform | None:
        """Return T_world_camera, None where the tree does not know it (yet).

        Raises
        ------
        InputError
            The camera has no frame: no wait would help.
        """
        check_named(self.world, camera_frame)
        try:
            return self._tree.lookup_at(self.world, camera_frame, stamp_ns, wait=False)
        except InputError:
            return None

    def clear(self) -> None:
        """Forget what moves; what is static stays."""
        self._tree.clear()

    def close(self) -> None:
        """Stop listening."""
        self._tree.close()


class PoseHistory:
    """The newest poses of one moving frame. Safe between threads."""

    def __init__(self) -> None:
        self._stamps: list[int] = []
        self._poses: list[Transform] = []
        self._jumps = BackwardJump()
        self._lock = threading.Lock()

    def add(self, stamp_ns: int, pose: Transform) -> None:
        """Take a pose; one from before a jump of the clock is forgotten."""
        with self._lock:
            if self._jumps.seen(stamp_ns):
                self._forget()
            row = bisect.bisect_left(self._stamps, stamp_ns)
            if row < len(self._stamps) and self._stamps[row] == stamp_ns:
                self._poses[row] = pose
                return
            self._stamps.insert(row, stamp_ns)
            self._poses.insert(row, pose)
            first = bisect.bisect_left(self._stamps, self._stamps[-1] - _KEPT_NS)
            del self._stamps[:first], self._poses[:first]

    def at(self, stamp_ns: int) -> Transform | None:
        """Return the pose at a stamp, None outside of what is known or inside a long gap."""
        with self._lock:
            row = bisect.bisect_left(self._stamps, stamp_ns)
            if row == len(self._stamps):
                return None
            if self._stamps[row] == stamp_ns:
                return self._poses[row]
            if row == 0 or self._stamps[row] - self._stamps[row - 1] > _LARGEST_GAP_NS:
                return None
            first, second = self._stamps[row - 1], self._stamps[row]
            share = (stamp_ns - first) / (second - first)
            return between(self._poses[row - 1], self._poses[row], share)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._jumps.forget()
            self._forget()

    def _forget(self) -> None:
        self._stamps.clear()
        self._poses.clear()


class TopicPoses:
    """Odometry or stamped poses.

    Parameters
    ----------
    node
        Node to subscribe with.
    settings
        Which topic, what it is the place of, and where the camera sits on that.
    faults
        Where poses that cannot be used are reported.

    Raises
    ------
    InputError
        The message package is missing, or the extrinsics cannot be had.
    """

    def __init__(self, node: Node, settings: ReconstructNodeSettings, faults: FaultLog) -> None:
        kind = _odometry() if settings.pose.source == 'odometry' else _pose_stamped()
        self.world = ''
        self.topic = node.resolve_topic_name(settings.pose.source)
        self._node = node
        self._faults = faults
        self._frame = settings.pose.frame
        self._of_camera = settings.pose.source == 'pose' and not self._frame
        self._history = PoseHistory()
        self._mount: Transforms | None = None
        if not self._of_camera:
            self._mount = create_transforms(settings.extrinsics, node)
        self._subscription = subscribe(
            node, kind, settings.pose.source, self._receive, sensor_qos(_QUEUE), faults.report
        )

    @property
    def problem(self) -> str:
        """What is wrong with where the camera sits."""
        return '' if self._mount is None else self._mount.problem

    def at(self, camera_frame: str, stamp_ns: int) -> Transform | None:
        """Return T_world_camera, None while poses, or a moving mount, do not reach the stamp."""
        pose = self._history.at(stamp_ns)
        if pose is None or self._mount is None or self._frame == camera_frame != '':
            return pose
        place = self._mount.try_lookup(self._frame, camera_frame, stamp_ns)
        return None if place is None else pose @ place

    def clear(self) -> None:
        """Forget all poses, and how the camera was turned on what they are of."""
        self._history.clear()
        if self._mount is not None:
            self._mount.clear()

    def close(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._subscription)
        if self._mount is not None:
            self._mount.close()

    def _receive(self, message: Any) -> None:
        stamped = message.pose.pose if hasattr(message, 'child_frame_id') else message.pose
        try:
            pose = matrix_from_pose(stamped)
        except (InputError, ValueError) as error:
            self._faults.report(self.topic, 'pose', f'a pose cannot be used: {error}')
            return
        if not self._frame and not self._of_camera:
            self._frame = message.child_frame_id.lstrip('/')
        world = message.header.frame_id.lstrip('/')
        if world != self.world:  # what was known is the place in another world
            self._history.clear()
        self.world = world
        self._history.add(stamp_ns(message.header.stamp), pose)


def create_poses(settings: ReconstructNodeSettings, node: Node, faults: FaultLog) -> PoseSource:
    """Return the poses that the parameters ask for.

    Raises
    ------
    InputError
        They cannot be had here; the message says what to install or to set.
    """
    if settings.pose.source == 'tf2':
        return Tf2Poses(node, settings.world_frame.lstrip('/'))
    return TopicPoses(node, settings, faults)


def _odometry() -> type:
    try:
        from nav_msgs.msg import Odometry
    except ImportError as error:
        raise InputError(
            'pose_source',
            'pose.source is odometry, but nav_msgs is not installed (sudo apt install '
            'ros-$ROS_DISTRO-nav-msgs, or pip install ros-jazzy-nav-msgs).',
        ) from error
    return Odometry


def _pose_stamped() -> type:
    from geometry_msgs.msg import PoseStamped

    return PoseStamped
