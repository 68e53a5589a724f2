# SPDX-License-Identifier: Apache-2.0
"""A calibration file that may be changed while the node runs. Knows no ROS."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.ros.static_tree import FixedTransform, RigidExtrinsics, StaticTree

_LOOK_AGAIN_S = 1.0


class WatchedCalibration(RigidExtrinsics):
    """Extrinsics of a file, read again when it has changed.

    Parameters
    ----------
    path
        The file.
    read
        Reads it; raises InputError where it cannot be used.
    report
        Called with a sentence when the file has changed. A new content that cannot be used, or
        a file that is gone, is reported once, and what was read before stays in force.

    Raises
    ------
    InputError
        The file cannot be used to begin with.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], FixedTransform | StaticTree],
        report: Callable[[str], object],
    ) -> None:
        self.problem = ''
        self._path = path
        self._read = read
        self._report = report
        self._version = self._current_version()
        self._is_gone = False
        self._looked_s = time.monotonic()
        self._inner = read(path)

    def lookup(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform:
        """Return the transform by the file as it is now, within a second."""
        if time.monotonic() - self._looked_s >= _LOOK_AGAIN_S:
            self._looked_s = time.monotonic()
            self.follow_changes()
        return self._inner.lookup(camera_frame, camera_stamp_ns, sensor_frame, sensor_stamp_ns)

    def follow_changes(self) -> None:
        """Read the file again if it has changed."""
        version = self._current_version()
        was_gone, self._is_gone = self._is_gone, version is None
        # Gone for the first time: it may be being replaced at this moment.
        if version == self._version or (version is None and not was_gone):
            return
        self._version = version
        try:
            self._inner = self._read(self._path)
        except InputError as error:
            self.problem = f'{error} What was read before stays in force.'
            self._report(self.problem)
        else:
            self.problem = ''
            self._report(f'calibration file {self._path} has changed and is in force.')

    def _current_version(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size
