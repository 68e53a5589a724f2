# SPDX-License-Identifier: Apache-2.0
"""Extrinsics where cameras of this process tell their own. Knows no ROS."""

from __future__ import annotations

from collections.abc import Collection

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.ros.camera_feed import CameraFeed
from metric_depth_ros.ros.extrinsics import Extrinsics


class FedExtrinsics:
    """What a camera knows about itself, and what is configured for everything else.

    Parameters
    ----------
    feeds
        The cameras.
    others
        Extrinsics of all other sensors.
    """

    def __init__(self, feeds: Collection[CameraFeed], others: Extrinsics) -> None:
        self._feeds = feeds
        self._others = others

    @property
    def problem(self) -> str:
        """What is wrong with the configured extrinsics."""
        return self._others.problem

    def lookup(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform:
        """Return the transform; within a rigid camera the stamps do not matter."""
        asked = camera_frame, camera_stamp_ns, sensor_frame, sensor_stamp_ns
        for feed in self._feeds:
            try:
                return feed.tree.lookup(*asked)
            except InputError:  # not of this camera
                continue
        return self._others.lookup(*asked)

    def lookup_through_fixed_frame(
        self, camera_frame: str, camera_stamp_ns: int, sensor_frame: str, sensor_stamp_ns: int
    ) -> Transform | None:
        """Return the transform through the fixed frame, as the configured extrinsics know it."""
        return self._others.lookup_through_fixed_frame(
            camera_frame, camera_stamp_ns, sensor_frame, sensor_stamp_ns
        )

    def close(self) -> None:
        """Release what the configured extrinsics hold."""
        self._others.close()
