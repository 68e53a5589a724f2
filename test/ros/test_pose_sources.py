# SPDX-License-Identifier: Apache-2.0
"""Poses of a stamp: between those that are known, from a history and from the transform tree."""

import importlib.util
import time
from types import SimpleNamespace

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TransformStamped
from stubbed_tf2 import stub_tf2

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.motion import PoseTrack
from metric_depth_ros.geometry.rigid import transform_from_quaternion
from metric_depth_ros.replay.spinning_node import idle_node
from metric_depth_ros.ros import pose_sources
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.moving_tree import MovingTree
from metric_depth_ros.ros.pose_sources import PoseHistory, Tf2Poses, TopicPoses
from metric_depth_ros.ros.reconstruct_parameters import RECONSTRUCT_NODE
from metric_depth_ros.ros.tf2_tree import extrinsics_tree

S = 1_000_000_000


@pytest.mark.skipif(
    importlib.util.find_spec('tf2_ros') is None,
    reason='tf2_ros of a ROS distribution is missing',
)
def test_poses_of_the_transform_tree_are_interpolated_and_forgotten():
    from tf2_ros import TransformBroadcaster

    def transform(second):
        message = TransformStamped(child_frame_id='camera')
        message.header.frame_id, message.header.stamp.sec = 'odom', second
        message.transform.translation.x = float(second)
        message.transform.rotation.w = 1.0
        return message

    with idle_node('test_pose_sources') as (node, executor):
        poses = Tf2Poses(node, 'odom')
        broadcaster = TransformBroadcaster(node)
        ends_s = time.monotonic() + 20.0
        while poses.at('camera', 11 * S) is None:
            assert time.monotonic() < ends_s
            broadcaster.sendTransform([transform(10), transform(11)])
            executor.spin_once(0.05)
        assert poses.at('camera', 10_250_000_000)[0, 3] == pytest.approx(10.25)
        assert poses.at('camera', 12 * S) is None
        assert poses.at('lidar', 10 * S) is None
        poses.clear()
        assert poses.at('camera', 10 * S) is None
        poses.close()


def pose_at(x):
    return transform_from_quaternion((x, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def test_poses_are_interpolated_but_never_extrapolated():
    history = PoseHistory()
    for second in (10, 11):
        history.add(second * S, pose_at(float(second)))
    assert history.at(10_250_000_000)[0, 3] == pytest.approx(10.25)
    assert history.at(11 * S)[0, 3] == 11.0
    assert history.at(11 * S + 1) is None
    assert history.at(10 * S - 1) is None


def test_poses_out_of_order_are_sorted_in_and_a_gap_is_not_bridged():
    history = PoseHistory()
    for second in (10.0, 11.0, 10.5, 13.0):
        history.add(round(second * S), pose_at(second))
    assert history.at(10_750_000_000)[0, 3] == pytest.approx(10.75)
    assert history.at(12 * S) is None


def test_a_clock_that_goes_back_takes_the_old_poses_with_it():
    history = PoseHistory()
    history.add(100 * S, pose_at(0.0))
    history.add(10 * S, pose_at(1.0))
    assert history.at(100 * S) is None
    assert history.at(10 * S)[0, 3] == 1.0


def test_the_history_is_bounded():
    history = PoseHistory()
    for i in range(10_000):
        history.add(i * S // 100, pose_at(0.0))
    assert history.at(0) is None
    assert len(history._stamps) <= 3001


def test_poses_of_another_world_are_not_mixed_with_those_of_the_one_before():
    settings = RECONSTRUCT_NODE.settings({'pose.source': 'pose'})

    def message(second, world, x):
        pose = PoseStamped()
        pose.header.frame_id, pose.header.stamp.sec = world, second
        pose.pose.position.x, pose.pose.orientation.w = x, 1.0
        return pose

    with idle_node('test_two_worlds') as (node, executor):
        poses = TopicPoses(node, settings, FaultLog(print, 0.0))
        publisher = node.create_publisher(PoseStamped, 'pose', 10)
        ends_s = time.monotonic() + 20.0
        while poses.world != 'map' or poses.at('camera', 11 * S) is None:
            assert time.monotonic() < ends_s
            publisher.publish(message(10, 'odom', 100.0))
            publisher.publish(message(11, 'map', 0.0))
            executor.spin_once(0.05)
            executor.spin_once(0.05)
        assert poses.at('camera', 10_500_000_000) is None
        poses.close()


@pytest.fixture
def odometry(monkeypatch):
    """Poses from odometry of a robot that stands still from 0 to 30 s, and their mount."""
    mount = SimpleNamespace(problem='', cleared=0, inner=None)
    mount.try_lookup = lambda *asked: mount.inner.try_lookup(*asked)
    mount.clear = lambda: setattr(mount, 'cleared', mount.cleared + 1)
    monkeypatch.setattr(pose_sources, 'create_transforms', lambda settings, node: mount)
    monkeypatch.setattr(pose_sources, 'subscribe', lambda *asked: None)
    node = SimpleNamespace(resolve_topic_name=lambda name: f'/{name}')
    settings = RECONSTRUCT_NODE.settings({'pose.source': 'pose', 'pose.frame': 'base'})
    poses = TopicPoses(node, settings, FaultLog(print, 0.0))
    for second in range(31):
        poses._history.add(second * S, pose_at(0.0))
    return poses, mount


def test_a_camera_that_moves_on_its_robot_is_where_it_was_at_the_stamp(odometry):
    poses, mount = odometry
    track = PoseTrack(np.array([10 * S, 20 * S]), np.stack([pose_at(1.0), pose_at(2.0)]))
    mount.inner = MovingTree({}, {('base', 'camera'): track}, '', 'the mast')
    assert poses.at('camera', 15 * S)[0, 3] == pytest.approx(1.5)
    with pytest.raises(InputError, match="'lidar' to 'base' in the mast"):
        poses.at('lidar', 15 * S)


def test_a_camera_without_a_frame_is_not_where_odometry_without_a_frame_is(odometry):
    poses, mount = odometry
    mount.inner = MovingTree({}, {}, '', 'the mast')
    poses._frame = ''  # child_frame_id of the odometry
    with pytest.raises(InputError, match='child_frame_id'):
        poses.at('', 15 * S)


def test_a_camera_without_a_frame_is_refused_at_once_and_not_waited_for(monkeypatch):
    stub_tf2(monkeypatch, MastBuffer())
    with pytest.raises(InputError, match=r'header\.frame_id'):
        Tf2Poses(None, 'odom').at('', 5 * S)


class MastBuffer:
    """A tree of tf2 whose mast, with the camera on it, is known until a stamp."""

    newest_ns = 9 * S

    def can_transform(self, target, source, stamp):
        return 'lidar' not in (target, source) and stamp.nanoseconds <= self.newest_ns

    def lookup_transform(self, target, source, stamp):
        if not self.can_transform(target, source, stamp):
            raise LookupError(f'{source} at {stamp.nanoseconds}')
        stamped = TransformStamped()
        stamped.transform.translation.x = 2.0
        return stamped


def test_a_mount_that_moves_is_known_when_tf2_reaches_the_stamp_and_nothing_sleeps(
    odometry, monkeypatch
):
    poses, mount = odometry
    buffer = MastBuffer()
    stub_tf2(monkeypatch, buffer)
    mount.inner = extrinsics_tree(None, 60.0)
    monkeypatch.setattr(time, 'sleep', None)
    assert poses.at('camera', 10 * S) is None
    buffer.newest_ns = 11 * S
    assert poses.at('camera', 10 * S)[0, 3] == pytest.approx(2.0)
    with pytest.raises(InputError, match="'lidar' to 'base'"):
        poses.at('lidar', 10 * S)


def test_a_clock_that_goes_back_takes_the_places_on_the_robot_with_it(odometry):
    poses, mount = odometry
    poses.clear()
    assert mount.cleared == 1
    assert poses.at('camera', 15 * S) is None
