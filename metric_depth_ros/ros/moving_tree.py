# SPDX-License-Identifier: Apache-2.0
"""Transforms between frames that move against each other, from recorded poses. Knows no ROS."""

from __future__ import annotations

from collections.abc import Mapping

from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.motion import PoseTrack
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.ros.static_tree import REMEDY, StaticTree


class MovingTree:
    """Mounted sensors on a robot whose path is known.

    Parameters
    ----------
    transforms
        (4, 4) pose of the child in the parent by (parent, child), where it is fixed.
    tracks
        The same where it moves.
    fixed_frame
        Frame through which a measurement is moved from its stamp to that of the image.
    origin, remedy
        Where they come from, and what to do about frames that are not connected, for messages.
    """

    problem = ''

    def __init__(
        self,
        transforms: Mapping[tuple[str, str], Transform],
        tracks: Mapping[tuple[str, str], PoseTrack],
        fixed_frame: str,
        origin: str,
        remedy: str = REMEDY,
    ) -> None:
        self._transforms = dict(transforms)
        self._tracks = dict(tracks)
        still = {
            key: track.transforms[0]
            for key, track in self._tracks.items()
            if (track.transforms == track.transforms[0]).all()
        }
        self._mounted = {**self._transforms, **still}
        self._fixed_frame = fixed_frame.lstrip('/')
        self._origin = origin
        self._remedy = remedy

    def lookup(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform:
        """Return the transform, moved through the fixed frame where the motion is known."""
        stamps = camera_frame, camera_stamp_ns, sensor_frame, sensor_stamp_ns
        moved = self.lookup_through_fixed_frame(*stamps)
        if moved is not None:
            return moved
        return self._tree_at(camera_stamp_ns).lookup(*stamps)

    def lookup_through_fixed_frame(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform | None:
        """Return the transform through the fixed frame, None where the motion is not known."""
        if not (self._tracks and self._fixed_frame):
            return None
        camera = self._known_at(camera_stamp_ns, self._transforms)
        sensor = self._known_at(sensor_stamp_ns, self._transforms)
        fixed = self._fixed_frame
        try:
            to_camera = camera.lookup(camera_frame, camera_stamp_ns, fixed, camera_stamp_ns)
            to_fixed = sensor.lookup(fixed, sensor_stamp_ns, sensor_frame, sensor_stamp_ns)
        except InputError:
            return None
        return to_camera @ to_fixed

    def lookup_at(
        self, target_frame: str, source_frame: str, stamp_ns: int, *, wait: bool = True
    ) -> Transform:
        """Return the transform at a stamp, by what is known then.

        At a time of which nothing is recorded the recording is one of another time, which tells
        how the robot is built: a link is as it was first or last. One that never moves always is.
        """
        if any(track.covers(stamp_ns) for track in self._tracks.values()):
            tree = self._known_at(stamp_ns, self._mounted)
        else:
            tree = self._tree_at(stamp_ns)
        return tree.lookup(target_frame, stamp_ns, source_frame, stamp_ns)

    def try_lookup(self, target_frame: str, source_frame: str, stamp_ns: int) -> Transform | None:
        """Return the same, None where only another time connects the frames."""
        try:
            return self.lookup_at(target_frame, source_frame, stamp_ns)
        except InputError:
            self._tree_at(stamp_ns).lookup(target_frame, stamp_ns, source_frame, stamp_ns)
            return None

    def clear(self) -> None:
        """Nothing to forget: the whole path is known."""

    def close(self) -> None:
        """Nothing to release."""

    def _known_at(self, stamp_ns: int, fixed: Mapping[tuple[str, str], Transform]) -> StaticTree:
        """Return what is fixed and what is recorded of a time: the rest is no path then."""
        moving = {
            key: track.at(stamp_ns)
            for key, track in self._tracks.items()
            if track.covers(stamp_ns)
        }
        origin = f'{self._origin}, at {stamp_ns / NS_PER_S:.3f} s'
        return StaticTree({**fixed, **moving}, origin, self._remedy)

    def _tree_at(self, stamp_ns: int) -> StaticTree:
        """Return all transforms at a time; before the first and after the last pose those."""
        moving = {
            key: track.at(min(max(stamp_ns, int(track.stamps_ns[0])), int(track.stamps_ns[-1])))
            for key, track in self._tracks.items()
        }
        return StaticTree({**self._transforms, **moving}, self._origin, self._remedy)
