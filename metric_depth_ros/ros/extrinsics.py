# SPDX-License-Identifier: Apache-2.0
"""Where the sensors are: one interface, three sources (tf2, a calibration file, a bag).

The source is chosen by the parameter extrinsics.source and imported only then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.rigid import Transform, inverse, transform_from_quaternion
from metric_depth_ros.ros.calibration_files import (
    is_kitti_calibration,
    read_kitti_calibration,
    read_transforms_yaml,
)
from metric_depth_ros.ros.parameters import ExtrinsicsSettings, PromptSettings

if TYPE_CHECKING:
    from rclpy.node import Node


# Within 10 s of its newest transform tf2 takes older ones; frames out of order are no jump.
_JUMP_NS = 5_000_000_000


class Extrinsics(Protocol):
    """Place of a sensor relative to a camera."""

    def lookup(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform:
        """Return (4, 4) from the sensor at its stamp to the camera at its stamp.

        Raises
        ------
        InputError
            ``'transform_missing'``: the frames are not connected.
        """
        ...

    def close(self) -> None:
        """Release subscriptions."""
        ...


class FixedTransform:
    """One transform for whatever frames the messages name: files that name none."""

    def __init__(self, transform: Transform) -> None:
        self._transform = transform

    def lookup(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform:
        """Return the transform; identity between a frame and itself."""
        return np.eye(4) if camera_frame == sensor_frame else self._transform

    def close(self) -> None:
        """Nothing to release."""


class StaticTree:
    """Rigidly mounted sensors: transforms between named frames, chained as needed.

    Parameters
    ----------
    transforms
        (4, 4) pose of the child in the parent by (parent, child).
    origin
        Where they come from, for messages.
    """

    def __init__(self, transforms: Mapping[tuple[str, str], Transform], origin: str) -> None:
        self._origin = origin
        self._neighbors: dict[str, dict[str, Transform]] = {}
        for (parent, child), transform in transforms.items():
            self._neighbors.setdefault(parent, {})[child] = transform
            self._neighbors.setdefault(child, {})[parent] = inverse(transform)
        self._found: dict[tuple[str, str], Transform] = {}

    def lookup(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform:
        """Return the chained transform; the stamps do not matter."""
        key = camera_frame.lstrip('/'), sensor_frame.lstrip('/')
        if key not in self._found:
            self._found[key] = self._chained(*key)
        return self._found[key]

    def close(self) -> None:
        """Nothing to release."""

    def _chained(self, target: str, source: str) -> Transform:
        reached = {target: np.eye(4)}
        queue = deque([target])
        while queue:
            frame = queue.popleft()
            if frame == source:
                return reached[frame]
            for neighbor, transform in self._neighbors.get(frame, {}).items():
                if neighbor not in reached:
                    reached[neighbor] = reached[frame] @ transform
                    queue.append(neighbor)
        raise InputError(
            'transform_missing',
            f'no transform from {source!r} to {target!r} in {self._origin}, which knows the '
            f'frames {", ".join(sorted(self._neighbors)) or "none"}: check header.frame_id of '
            'both topics, or the parameter extrinsics.path.',
        )


class Tf2Extrinsics:
    """The transform tree of the running system.

    Parameters
    ----------
    node
        Node whose executor feeds the listener.
    fixed_frame
        Frame that both stamps are related through; empty or unknown: rigidly mounted.

    Raises
    ------
    InputError
        tf2_ros is not installed.
    """

    def __init__(self, node: Node, fixed_frame: str) -> None:
        try:
            import tf2_ros
        except ImportError as error:
            raise InputError(
                'extrinsics',
                'extrinsics.source is tf2, but tf2_ros is not installed (sudo apt install '
                'ros-$ROS_DISTRO-tf2-ros-py). Without it, set extrinsics.source to file or bag '
                'and extrinsics.path.',
            ) from error
        self._tf2 = tf2_ros
        self._fixed_frame = fixed_frame
        self._newest_ns = 0
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def lookup(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform:
        """Return the transform, moved through the fixed frame where the tree knows it."""
        from rclpy.time import Time

        self._forget_if_jumped_back(camera_stamp_ns)
        camera_time = Time(nanoseconds=camera_stamp_ns)
        sensor_time = Time(nanoseconds=sensor_stamp_ns)
        moved = (camera_frame, camera_time, sensor_frame, sensor_time, self._fixed_frame)
        try:
            if self._fixed_frame and self._buffer.can_transform_full(*moved):
                found = self._buffer.lookup_transform_full(*moved)
            else:
                found = self._buffer.lookup_transform(camera_frame, sensor_frame, Time())
        except self._tf2.TransformException as error:
            raise InputError(
                'transform_missing',
                f'no transform from {sensor_frame!r} to {camera_frame!r} on /tf and /tf_static: '
                f'{error}. Publish it (static_transform_publisher), or set extrinsics.source to '
                'file or bag.',
            ) from error
        move, turn = found.transform.translation, found.transform.rotation
        return transform_from_quaternion(
            (move.x, move.y, move.z), (turn.x, turn.y, turn.z, turn.w)
        )

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()

    def _forget_if_jumped_back(self, stamp_ns: int) -> None:
        """Let the tree take transforms that are older than those it has: a bag began anew."""
        if self._newest_ns - stamp_ns > _JUMP_NS:
            self._buffer.clear()  # what is static stays
            self._newest_ns = stamp_ns
        self._newest_ns = max(self._newest_ns, stamp_ns)


def needs_extrinsics(prompt: PromptSettings) -> bool:
    """Tell whether any source has a place of its own; registered depth has the camera's."""
    own_place = prompt.depth_alignment in ('auto', 'unregistered')
    return 'points' in prompt.sources or ('sensor_depth' in prompt.sources and own_place)


def create_extrinsics(settings: ExtrinsicsSettings, node: Node) -> Extrinsics:
    """Return the extrinsics that the parameters ask for.

    Raises
    ------
    InputError
        tf2 is not installed, or the file or bag cannot be used.
    """
    if settings.source == 'tf2':
        return Tf2Extrinsics(node, settings.fixed_frame)
    path = Path(settings.path).expanduser()
    if settings.source == 'file':
        if is_kitti_calibration(path):
            return FixedTransform(read_kitti_calibration(path, settings.kitti_camera))
        return StaticTree(read_transforms_yaml(path), str(path))
    from metric_depth_ros.bags.extrinsics import read_static_transforms

    return StaticTree(read_static_transforms(path), f'/tf_static of {path}')
