# SPDX-License-Identifier: Apache-2.0
"""The shipped launch file plays a recording and answers with depth (launch_testing)."""

import time
import unittest
from importlib.util import find_spec
from pathlib import Path

import pytest

for package in ('launch_testing', 'launch_ros'):
    pytest.importorskip(package, reason=f'{package} of a ROS distribution is not installed')

import launch_testing.actions  # noqa: E402
import launch_testing.asserts  # noqa: E402
from launch import LaunchDescription  # noqa: E402
from launch.actions import IncludeLaunchDescription  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

from metric_depth_ros.replay.spinning_node import idle_node  # noqa: E402
from metric_depth_ros.resources import share_file  # noqa: E402

RECORDING = Path(__file__).resolve().parents[1] / 'realsense/librealsense_2_55.bag'
DEADLINE_S = 30.0


@pytest.mark.skipif(find_spec('pyrealsense2') is None, reason='pyrealsense2 is not installed')
@pytest.mark.launch_test
def generate_test_description():
    return LaunchDescription(
        [
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(share_file('launch/realsense.launch.py'))),
                launch_arguments={
                    'namespace': 'robot',
                    'playback_file': str(RECORDING),
                    'estimator': 'nearest',
                }.items(),
            ),
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestRunning(unittest.TestCase):
    def test_depth_and_the_frames_of_the_camera_come(self):
        depth, frames = [], []
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        with idle_node('listener') as (node, executor):
            node.create_subscription(Image, '/robot/depth/image', depth.append, 10)
            node.create_subscription(TFMessage, '/tf_static', frames.append, latched)
            end_s = time.monotonic() + DEADLINE_S
            while not (depth and frames) and time.monotonic() < end_s:
                executor.spin_once(0.1)
        assert depth
        assert depth[0].header.frame_id == 'camera_color_optical_frame'
        children = {t.child_frame_id for t in frames[0].transforms}
        assert 'camera_depth_optical_frame' in children


@launch_testing.post_shutdown_test()
class TestStopped(unittest.TestCase):
    def test_exit_codes_are_0(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
