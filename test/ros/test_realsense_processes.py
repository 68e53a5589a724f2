# SPDX-License-Identifier: Apache-2.0
"""The executables `realsense` and `realsense_depth` as users start them, on a recording."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import rclpy
import software_camera as soft

from metric_depth_ros.nodes import realsense_depth
from metric_depth_ros.ros.outputs import Outputs
from metric_depth_ros.ros.realsense.publishing import TOPICS

RECORDING = Path(__file__).parents[1] / 'realsense/librealsense_2_55.bag'

needs_library = pytest.mark.skipif(
    find_spec('pyrealsense2') is None, reason='pyrealsense2 is not installed'
)


def depth_m(client, topic):
    from sensor_msgs.msg import Image

    client.subscribe(Image, topic)
    client.wait_for(lambda: client.received[topic], topic)
    image = client.received[topic][-1]
    return np.frombuffer(image.data, np.float32).reshape(image.height, image.width)


@needs_library
def test_images_reach_the_depth_node_of_the_process_without_middleware(client, start_node):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    node = start_node(
        {
            'camera:playback.file': RECORDING,
            'depth:estimator': 'nearest',
            'depth:prompt.sources': '[sensor_depth]',
            'depth:extrinsics.source': 'tf2',  # not needed, and not installed everywhere
        },
        executable='realsense_depth',
    )
    depth = depth_m(client, '/depth/image')
    assert depth.shape == (soft.HEIGHT, soft.WIDTH)
    assert np.nanmedian(depth) == pytest.approx(1.5, abs=0.01)
    assert client.node.count_publishers('/camera/color/image_raw') == 1
    assert client.node.count_subscribers('/camera/color/image_raw') == 0
    assert client.node.count_subscribers('/camera/depth/image_rect_raw') == 0
    assert '/camera/color/image_raw' in node.log

    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert client.call(ChangeState, '/depth/change_state', request).success
    client.received['/depth/image'].clear()
    assert np.nanmedian(depth_m(client, '/depth/image')) == pytest.approx(1.5, abs=0.01)
    assert node.end(signal.SIGINT) == 0


@needs_library
def test_several_cameras_feed_one_depth_node(client, start_node):
    node = start_node(
        {
            'depth:cameras': '[front,rear]',
            'depth:estimator': 'nearest',
            'depth:prompt.sources': '[sensor_depth]',
            'front_camera:playback.file': RECORDING,
            'rear_camera:playback.file': RECORDING,
            'rear_camera:depth.align_to_color': 'true',
        },
        executable='realsense_depth',
    )
    for camera in ('front', 'rear'):
        assert np.nanmedian(depth_m(client, f'/{camera}/depth/image')) == pytest.approx(
            1.5, abs=0.01
        )
    aligned = '/rear_camera/aligned_depth_to_color/image_raw'
    client.wait_for(lambda: client.node.count_publishers(aligned), aligned)
    assert client.node.count_subscribers(aligned) == 0
    assert node.end(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ('cameras', 'names'),
    [
        ('[]', ['camera', 'depth']),
        ('[front, rear]', ['front_camera', 'rear_camera', 'depth']),
        ('[camera, arm/left]', ['camera_camera', 'arm_left_camera', 'depth']),
    ],
)
def test_no_camera_publishes_on_a_topic_of_the_dense_depth(cameras, names):
    rclpy.init(args=['--ros-args', '-p', f'depth:cameras:={cameras}'])
    nodes = realsense_depth._nodes()
    try:
        *of_cameras, depth = nodes
        measured = {
            node.resolve_topic_name(topic)
            for node in of_cameras
            for pair in TOPICS.values()
            for topic in pair
        }
        given = depth.get_parameter('cameras').value or ('',)
        dense = [Outputs(depth, print, camera).topics for camera in given]
        assert [node.get_name() for node in nodes] == names
        assert len(measured) == 6 * len(of_cameras)
        assert measured.isdisjoint(set().union(*dense))
    finally:
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()


@needs_library
def test_a_node_without_a_camera_says_so_waits_and_ends(client, start_node):
    node = start_node({'retry_max_s': 0.2, 'serial_number': '"99"'}, executable='realsense')
    node.wait_for_log("no camera with serial_number '99' is connected")
    assert node.end(signal.SIGTERM) == 0


@needs_library
def test_a_configuration_that_cannot_be_is_refused_by_name(client, start_node):
    node = start_node(
        {
            'camera:playback.file': '/nowhere/x.bag',
            'depth:estimator': 'nearest',
            'depth:image_transport': 'compressed',
        },
        executable='realsense_depth',
    )
    node.wait_for_log('cannot configure: there is no file /nowhere/x.bag')
    node.wait_for_log('cannot configure: parameter image_transport is compressed, but the camera')
    assert node.end() == 0


@pytest.fixture
def without_library(tmp_path, monkeypatch):
    """Let processes find a pyrealsense2 that does not load."""
    (tmp_path / 'pyrealsense2.py').write_text("raise ImportError('libusb is missing')\n")
    before = os.environ.get('PYTHONPATH')
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}:{before}' if before else str(tmp_path))


def test_what_is_missing_is_told_with_how_to_get_it(without_library, start_node):
    node = start_node(executable='realsense')
    node.wait_for_log('pip install pyrealsense2')
    assert 'libusb is missing' in node.log
    assert node.end() == 0


@pytest.mark.parametrize('executable', ['realsense', 'realsense_depth'])
def test_help_needs_no_library(without_library, executable):
    command = [sys.executable, '-m', f'metric_depth_ros.nodes.{executable}', '--help']
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.startswith(f'usage: {executable}')


@needs_library
@pytest.mark.parametrize('cameras', ['[front,front_camera]', '[a/b,a_b]'])
def test_cameras_whose_nodes_would_have_the_name_of_another_are_refused(cameras):
    command = [sys.executable, '-m', 'metric_depth_ros.nodes.realsense_depth']
    done = subprocess.run(
        [*command, '--ros-args', '-p', f'depth:cameras:={cameras}'],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert 'parameter cameras' in done.stderr
    assert 'Traceback' not in done.stderr
