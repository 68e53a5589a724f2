# SPDX-License-Identifier: Apache-2.0
"""A reconstruct node that is deactivated and activated again, in this process.

Nobody spins it: what topics bring is handed to it.
"""

import importlib.util
import time
from array import array
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, Image

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.reconstruct_node import ReconstructNode
from metric_depth_ros.ros.writing import WRITING

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('open3d') is None, reason='open3d is missing'
)
S = 1_000_000_000
DEADLINE_S = 30.0
GIVEN = ('pose.source:=pose', 'fusion.max_rate_hz:=0.0', 'fusion.device:=cpu')


@pytest.fixture
def node(tmp_path):
    given = (*GIVEN, f'save.folder:={tmp_path}')
    rclpy.init(args=['--ros-args', *(word for text in given for word in ('-p', text))])
    made = ReconstructNode()
    assert made.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert made.trigger_activate() == TransitionCallbackReturn.SUCCESS
    yield made
    made.release()
    made.destroy_node()
    rclpy.try_shutdown()


def see(node, second, world):
    """Have a wall fused."""
    pose = PoseStamped()
    pose.header.frame_id, pose.header.stamp.sec = world, second
    pose.pose.orientation.w = 1.0
    depth = Image(height=30, width=40, encoding='32FC1', step=160)
    depth.data = array('B', np.full(1200, 2.0, '<f4').tobytes())
    depth.header.frame_id = 'camera'
    info = CameraInfo(height=30, width=40)
    info.k = [37.5, 0.0, 19.5, 0.0, 37.5, 14.5, 0.0, 0.0, 1.0]
    fused = node._counts['fused']
    node._poses._receive(pose)
    node._worker.offer(second * S, {'depth/image': depth, 'depth/camera_info': info})
    ends_s = time.monotonic() + DEADLINE_S
    while node._counts['fused'] == fused:
        assert time.monotonic() < ends_s, node._counts.counts()
        time.sleep(0.005)


def test_an_active_node_goes_on_with_the_surface_that_it_had(node):
    see(node, 10, 'odom')
    node.trigger_deactivate()
    node.trigger_activate()
    see(node, 20, 'odom')
    assert node._surface.frames == 2
    node.trigger_deactivate()
    node.trigger_activate()
    see(node, 30, 'another_floor')
    assert node._surface.frames == 1


def test_a_surface_is_written_while_its_node_is_not_active(node, tmp_path):
    see(node, 10, 'odom')
    node.trigger_deactivate()
    assert node._save().startswith(f'{tmp_path}/mesh_reconstruct_')


def test_nodes_whose_clocks_stand_at_one_time_write_files_of_their_own(
    node, tmp_path, monkeypatch
):
    second = ReconstructNode()
    try:
        second.trigger_configure()
        second.trigger_activate()
        see(node, 10, 'odom')
        see(second, 10, 'odom')
        paused = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=7))
        with monkeypatch.context() as simulated:
            simulated.setattr(ReconstructNode, 'get_clock', lambda self: paused)
            assert node._save() != second._save()
        assert len(list(tmp_path.glob('*.ply'))) == 4
    finally:
        second.release()
        second.destroy_node()


def test_a_surface_is_written_where_the_process_waits_for_it(node, monkeypatch):
    see(node, 10, 'odom')
    held = []
    monkeypatch.setattr(node._surface, 'write', lambda *paths: held.append(WRITING.locked()))
    node._save()
    assert held == [True]
    assert not WRITING.locked()


def test_a_surface_that_was_abandoned_with_its_thread_is_followed_by_another(node, monkeypatch):
    see(node, 10, 'odom')
    abandoned = node._worker
    with monkeypatch.context() as slow:
        slow.setattr(abandoned, 'stop', lambda timeout_s: False)
        node.trigger_deactivate()
    assert abandoned.stop(DEADLINE_S)
    with pytest.raises(InputError, match='no depth image'):
        node._save()
    node.trigger_activate()
    see(node, 20, 'odom')
    assert node._surface.frames == 1
