# SPDX-License-Identifier: Apache-2.0
"""The `realsense` node: a camera or a recording of librealsense on the standard RGB-D topics.

configure: parameters, publishers. activate: the thread that opens the camera and reads it.
"""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.time import Time
from std_msgs.msg import Header

from metric_depth_ros.errors import InputError
from metric_depth_ros.resources import user_path
from metric_depth_ros.ros.camera_feed import CameraFeed
from metric_depth_ros.ros.diagnostics import Problem
from metric_depth_ros.ros.managed_node import STOP_S, ManagedNode
from metric_depth_ros.ros.realsense.calibration import (
    optical_frame,
    static_transforms,
    write_calibration,
)
from metric_depth_ros.ros.realsense.capture import Capture
from metric_depth_ros.ros.realsense.counts import FrameCounts
from metric_depth_ros.ros.realsense.device import (
    FindDevices,
    OpenCamera,
    find_connected,
    open_camera,
    recording_path,
)
from metric_depth_ros.ros.realsense.library import realsense_library
from metric_depth_ros.ros.realsense.parameters import REALSENSE_NODE, RealsenseSettings
from metric_depth_ros.ros.realsense.publishing import (
    PictureOutputs,
    StaticFrames,
    feed_topics,
)
from metric_depth_ros.ros.realsense.shots import ShotReader
from metric_depth_ros.ros.static_tree import StaticTree

NAME = 'camera'


class RealsenseNode(ManagedNode[RealsenseSettings]):
    """A RealSense camera, or a recording of one.

    Parameters
    ----------
    name
        Of the node, and what its topics and frames begin with.
    find_devices
        Returns the cameras that are connected; those that librealsense finds by default.
    """

    def __init__(self, name: str = NAME, find_devices: FindDevices | None = None) -> None:
        super().__init__(name, REALSENSE_NODE, 'camera')
        self._find_devices = find_devices
        self._capture: Capture | None = None
        self._counts = FrameCounts()
        self.feed = CameraFeed(self._feed_topics())

    def _feed_topics(self) -> dict[str, str]:
        aligned = bool(self.get_parameter('depth.align_to_color').value)
        return feed_topics(self, aligned=aligned)

    def _configure(self) -> None:
        settings = self._settings
        self._rs = realsense_library()
        if settings.playback.file:
            recording_path(settings)  # better refused now than when the camera is opened
        self._prefix = settings.frame_prefix or self.get_name()
        self._fed_depth = 'aligned_depth' if settings.depth.align_to_color else 'depth'
        self.feed.topics = self._feed_topics()
        self._outputs = PictureOutputs(self, self._faults.report, self.feed)
        self._releases.append(self._outputs.close)
        pictures = {
            'color': settings.color.enable,
            'depth': settings.depth.enable,
            'aligned_depth': settings.depth.align_to_color,
        }
        self._outputs.open(tuple(name for name, enabled in pictures.items() if enabled))
        self._frames = StaticFrames(self)
        self._releases.append(self._frames.close)
        if not self._frames.is_available and not settings.calibration_file:
            self.get_logger().info(
                'tf2_msgs is not installed: nothing is published on /tf_static. A depth node in '
                'another process learns the place of the cameras from the parameter '
                'calibration_file.'
            )
        self._counts = FrameCounts()
        self.get_logger().info(f'configured: {settings.playback.file or "a camera"}')

    def _activate(self) -> None:
        settings = self._settings
        find_devices = self._find_devices or find_connected(self._rs)
        self._capture = Capture(
            lambda: open_camera(self._rs, settings, find_devices),
            self._on_opened,
            self._on_frames,
            lambda fault, sentence: self._faults.report(self.get_name(), fault, sentence),
            settings.timeout_s,
            settings.retry_max_s,
        )

    def _deactivate(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None and not capture.stop(STOP_S):
            self.get_logger().warning('librealsense does not close the camera; it is abandoned')

    def _on_opened(self, camera: OpenCamera) -> None:
        """Tell where the cameras are, before the first of their frames."""
        self._counts.restart()
        self._reader = ShotReader(self._rs, camera, self._settings, self._now_ns, self._counts)
        transforms = static_transforms(self._prefix, camera.T_color_depth)
        self.feed.tree = StaticTree(transforms, f'the camera {self._prefix}')
        self._frames.publish(transforms, self.get_clock().now().to_msg())
        if self._settings.calibration_file:
            path = user_path(self._settings.calibration_file)
            try:
                write_calibration(path, transforms)
            except InputError as error:
                self._faults.report(self.get_name(), error.fault, str(error))
        info = camera.info
        streams = ', '.join(
            f'{name} {s.as_video_stream_profile().width()}x{s.as_video_stream_profile().height()} '
            f'at {s.fps()} Hz'
            for name, s in camera.streams.items()
        )
        self.get_logger().info(f'opened {info.name} {info.serial_number}: {streams}')

    def _on_frames(self, frames: Any) -> None:
        for shot in self._reader.read(frames, self._settings, self._wanted):
            header = Header(frame_id=optical_frame(self._prefix, shot.optical))
            header.stamp = Time(nanoseconds=shot.stamp_ns).to_msg()
            self._outputs.send(shot.name, shot.picture, header, fed=self._is_fed(shot.name))

    def _wanted(self, name: str) -> bool:
        return self._outputs.wanted(name, fed=self._is_fed(name))

    def _is_fed(self, name: str) -> bool:
        return name in ('color', self._fed_depth)

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _health(self) -> list[DiagnosticStatus]:
        capture = self._capture
        camera = capture.camera if capture is not None else None
        values = self._counts.values()
        if capture is not None:
            values['opened'] = capture.opened
        if camera is not None:
            values |= {
                'camera': camera.info.name,
                'firmware': camera.info.firmware,
                'connection': camera.info.connection,
            }
        serial = camera.info.serial_number if camera else self._settings.serial_number
        return [self._health_of(serial, self._all_well(), values)]

    def _problems(self) -> list[Problem]:
        problem = None if self._capture is None else self._capture.problem
        return [] if problem is None else [(DiagnosticStatus.ERROR, problem)]

    def _all_well(self) -> str:
        ended = self._capture is not None and self._capture.has_ended
        return 'the recording has been played' if ended else 'frames arrive'
