# SPDX-License-Identifier: Apache-2.0
"""The shipped launch file starts a node that answers, and it ends cleanly (launch_testing)."""

import os
import tempfile
import unittest
from pathlib import Path

import pytest

for package in ('launch_testing', 'launch_ros'):
    pytest.importorskip(package, reason=f'{package} of a ROS distribution is not installed')

import depth_contract  # noqa: E402
import launch_testing.actions  # noqa: E402
import launch_testing.asserts  # noqa: E402
from launch import LaunchDescription  # noqa: E402
from launch.actions import IncludeLaunchDescription  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402

from metric_depth_ros.resources import share_file  # noqa: E402


@pytest.mark.launch_test
def generate_test_description():
    folder = Path(tempfile.mkdtemp(prefix='metric_depth_'))
    return LaunchDescription(
        [
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(share_file('launch/camera_lidar.launch.py'))),
                launch_arguments={
                    'namespace': 'front',
                    'points': '/velodyne/points',
                    'estimator': 'nearest',
                    'extrinsics_source': 'file',
                    'extrinsics_path': str(depth_contract.write_calibration(folder)),
                }.items(),
            ),
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestRunning(unittest.TestCase):
    def test_depth_camera_info_and_cloud_come_back(self):
        depth_contract.check(
            depth_contract.ask(
                image='/front/camera/image_raw',
                camera_info='/front/camera/camera_info',
                points='/velodyne/points',
                depth='/front/depth',
            )
        )

    def test_node_has_the_shared_memory_profile(self, proc_info):
        node = proc_info[next(name for name in proc_info.process_names() if 'depth' in name)]
        environment = Path(f'/proc/{node.pid}/environ').read_bytes().decode().split('\0')
        chosen = os.environ.get(
            'FASTRTPS_DEFAULT_PROFILES_FILE', str(share_file('config/fastdds.xml'))
        )
        assert f'FASTRTPS_DEFAULT_PROFILES_FILE={chosen}' in environment


@launch_testing.post_shutdown_test()
class TestStopped(unittest.TestCase):
    def test_exit_codes_are_0(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
