# SPDX-License-Identifier: Apache-2.0
"""Nodes where a Python package is not installed: one sentence, and the node can be stopped."""

import os
import subprocess
import sys

import pytest
from without_package import python_path_without

pytest.importorskip('rclpy', reason='needs ROS 2 or its wheels')

from std_srvs.srv import Trigger


@pytest.mark.parametrize('package', ['rclpy', 'cv2'])
def test_a_node_that_cannot_be_loaded_names_the_package_in_one_sentence(package, tmp_path):
    result = subprocess.run(
        [sys.executable, '-m', 'metric_depth_ros.nodes.depth'],
        env={**os.environ, 'PYTHONPATH': python_path_without(package, tmp_path)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f'depth: the Python package {package} is not installed')


def test_a_package_that_the_configuration_needs_is_named_in_one_sentence(
    start_node, tmp_path, monkeypatch
):
    monkeypatch.setenv('PYTHONPATH', python_path_without('rosbags', tmp_path))
    parameters = {'extrinsics.source': 'bag', 'extrinsics.path': str(tmp_path)}
    node = start_node(parameters, ('__node:=without_rosbags',))
    log = node.wait_for_log('cannot configure')
    line = next(line for line in log.splitlines() if 'cannot configure' in line)
    assert 'rosbags is not installed' in line
    assert 'pip install rosbags' in line
    assert 'Traceback' not in log
    assert node.end() == 0


def test_a_snapshot_that_cannot_be_written_is_refused_and_leaves_nothing(
    start_node, client_in, tmp_path, monkeypatch
):
    monkeypatch.setenv('PYTHONPATH', python_path_without('rosbags', tmp_path))
    folder = tmp_path / 'snapshots'
    node = start_node({'snapshot.folder': folder}, ('__ns:=/bagless',))
    client = client_in('bagless')
    client.connect()
    response = client.call(Trigger, 'depth/save_snapshot', Trigger.Request())
    assert not response.success
    assert 'pip install rosbags' in response.message
    assert not folder.exists()
    assert node.end() == 0
