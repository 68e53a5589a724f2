# SPDX-License-Identifier: Apache-2.0
"""What launch/camera_lidar.launch.py starts, started as a process: no launch needed."""

import os
import signal
import subprocess
import sys

import depth_contract

from metric_depth_ros.middleware import dds_environment
from metric_depth_ros.resources import share_file


def test_depth_camera_info_and_cloud_come_back_and_the_node_ends_cleanly(tmp_path):
    calibration = depth_contract.write_calibration(tmp_path)
    command = [
        sys.executable, '-m', 'metric_depth_ros.nodes.depth', '--ros-args',
        '--params-file', str(share_file('config/generic.yaml')),
        '-p', 'estimator:=nearest',
        '-p', 'extrinsics.source:=file', '-p', f'extrinsics.path:={calibration}',
        '-r', '__ns:=/front', '-r', 'image:=camera/image_raw',
        '-r', 'camera_info:=camera/camera_info', '-r', 'points:=/velodyne/points',
    ]  # fmt: skip
    node = subprocess.Popen(command, env={**os.environ, **dds_environment()})
    try:
        answer = depth_contract.ask(
            image='/front/camera/image_raw',
            camera_info='/front/camera/camera_info',
            points='/velodyne/points',
            depth='/front/depth',
        )
        depth_contract.check(answer)
        node.send_signal(signal.SIGINT)
        node.send_signal(signal.SIGINT)  # as a terminal and launch both do
        assert node.wait(15) == 0
    finally:
        node.kill()
