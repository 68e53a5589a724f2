# SPDX-License-Identifier: Apache-2.0
"""Rigidly mounted sensors: one transform, or a tree of named frames. Knows no ROS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping

import numpy as np

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.rigid import Transform, inverse

REMEDY = 'check header.frame_id of both topics, or the parameter extrinsics.path'


def check_named(target_frame: str, source_frame: str) -> None:
    """Refuse a frame without a name: two of them would be taken for one and the same place.

    Raises
    ------
    InputError
        ``'transform_missing'``: one of them, or both.
    """
    if not (target_frame.lstrip('/') and source_frame.lstrip('/')):
        raise InputError(
            'transform_missing',
            f'no transform from {source_frame!r} to {target_frame!r}: a frame needs a name. Set '
            'header.frame_id (of odometry: child_frame_id) where it is published, in a driver '
            'mostly by its parameter frame_id.',
        )


class RigidExtrinsics(ABC):
    """Sensors that do not move on the robot, so that stamps do not matter."""

    problem = ''

    @abstractmethod
    def lookup(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform:
        """Return (4, 4) from the sensor to the camera."""

    def lookup_through_fixed_frame(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform | None:
        """Return None: nothing is known about motion."""
        return None

    def lookup_at(
        self, target_frame: str, source_frame: str, stamp_ns: int, *, wait: bool = True
    ) -> Transform:
        """Return the transform, which is that of any stamp."""
        return self.lookup(target_frame, stamp_ns, source_frame, stamp_ns)

    def try_lookup(self, target_frame: str, source_frame: str, stamp_ns: int) -> Transform | None:
        """Return the same: it is known at any stamp."""
        return self.lookup_at(target_frame, source_frame, stamp_ns)

    def clear(self) -> None:  # noqa: B027
        """Nothing to forget: nothing moves."""

    def close(self) -> None:  # noqa: B027
        """Nothing to release."""


class FixedTransform(RigidExtrinsics):
    """One transform for whatever frames the messages name, or do not: files that name none."""

    def __init__(self, transform: Transform) -> None:
        self._transform = transform

    def lookup(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform:
        """Return the transform."""
        return self._transform


class StaticTree(RigidExtrinsics):
    """Rigidly mounted sensors: transforms between named frames, chained as needed.

    Parameters
    ----------
    transforms
        (4, 4) pose of the child in the parent by (parent, child).
    origin
        Where they come from, for messages.
    remedy
        What whoever asks for frames that are not connected is told to do.
    """

    def __init__(
        self,
        transforms: Mapping[tuple[str, str], Transform],
        origin: str,
        remedy: str = REMEDY,
    ) -> None:
        self._origin = origin
        self._remedy = remedy
        self._neighbors: dict[str, dict[str, Transform]] = {}
        for edge, transform in transforms.items():
            parent, child = (frame.lstrip('/') for frame in edge)
            self._neighbors.setdefault(parent, {})[child] = transform
            self._neighbors.setdefault(child, {})[parent] = inverse(transform)
        self._found: dict[tuple[str, str], Transform] = {}

    def lookup(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform:
        """Return the chained transform; the stamps do not matter."""
        check_named(camera_frame, sensor_frame)
        key = camera_frame.lstrip('/'), sensor_frame.lstrip('/')
        if key not in self._found:
            self._found[key] = self._chained(*key)
        return self._found[key]

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
            f'frames {", ".join(sorted(self._neighbors)) or "none"}: {self._remedy}.',
        )
