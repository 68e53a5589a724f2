# SPDX-License-Identifier: Apache-2.0
"""A real drive through the live node gives the figures of the same frames without ROS."""

import json

import pytest

from metric_depth_ros.cli.main import main

pytest.importorskip('rclpy', reason='needs ROS 2 or its wheels')


def test_a_replayed_drive_is_as_accurate_as_the_estimator_alone(shared, tmp_path):
    frame_set = shared / 'data' / 'kitti_raw'
    bag, out = tmp_path / 'bag', tmp_path / 'out'
    alone, live = tmp_path / 'alone.json', tmp_path / 'live.json'
    assert main(['make-bag', str(frame_set), str(bag)]) == 0
    assert main(['evaluate', str(frame_set), '--prompt', 'lidar16', '--json', str(alone)]) == 0
    # A quarter of the real speed: accuracy is what is compared, on however busy a machine.
    arguments = ['--out', str(out), '--json', str(live), '--rate', '0.25']
    assert main(['replay', str(bag), *arguments, '--fail-if', 'replaced>0']) == 0
    figures = json.loads(live.read_text())
    (group,) = json.loads(alone.read_text())['groups']
    assert figures['frames_out'] == group['frames'] == 8
    for over in ('metrics', 'metrics_unprompted'):
        for name in ('abs_rel', 'mae_m', 'rmse_m', 'delta1'):
            assert figures[over][name] == pytest.approx(group[over][name], rel=0.02)
