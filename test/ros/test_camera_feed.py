# SPDX-License-Identifier: Apache-2.0
"""A camera of the same process: who gets its messages, and where its transforms hold."""

import numpy as np
import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.camera_feed import CameraFeed
from metric_depth_ros.ros.fed_extrinsics import FedExtrinsics
from metric_depth_ros.ros.static_tree import StaticTree


def moved(x):
    T = np.eye(4)
    T[0, 3] = x
    return T


@pytest.fixture
def extrinsics():
    front, rear = CameraFeed({}), CameraFeed({})
    front.tree = StaticTree({('front_color', 'front_depth'): moved(1.0)}, 'front')
    rear.tree = StaticTree({('rear_color', 'rear_depth'): moved(2.0)}, 'rear')
    robot = {('base', 'rear_color'): moved(0.0), ('base', 'lidar'): moved(3.0)}
    return FedExtrinsics([front, rear], StaticTree(robot, 'the robot'))


@pytest.mark.parametrize(
    ('camera', 'sensor', 'x'),
    [
        ('front_color', 'front_depth', 1.0),
        ('rear_color', 'rear_depth', 2.0),
        ('rear_color', 'lidar', 3.0),
    ],
)
def test_each_camera_knows_itself_and_the_robot_the_rest(extrinsics, camera, sensor, x):
    assert extrinsics.lookup(camera, 0, sensor, 0)[0, 3] == x


def test_what_nobody_knows_is_refused_as_the_robot_does(extrinsics):
    with pytest.raises(InputError, match='the robot, which knows the frames base'):
        extrinsics.lookup('front_color', 0, 'lidar', 0)


def test_a_camera_that_was_opened_again_is_followed(extrinsics):
    feed = CameraFeed({})
    fed = FedExtrinsics([feed], StaticTree({}, 'nothing'))
    with pytest.raises(InputError):
        fed.lookup('color', 0, 'depth', 0)
    feed.tree = StaticTree({('color', 'depth'): moved(4.0)}, 'camera')
    assert fed.lookup('color', 0, 'depth', 0)[0, 3] == 4.0


def test_messages_go_to_whom_they_are_wanted_by_and_to_nobody_afterwards():
    feed, received = CameraFeed({'image': '/camera/color/image_raw'}), []
    feed.offer('image', 'before')
    feed.connect('image', received.append)
    assert feed.wants('image')
    assert not feed.wants('sensor_depth')
    feed.offer('image', 'wanted')
    feed.offer('sensor_depth', 'not wanted')
    feed.disconnect()
    feed.offer('image', 'afterwards')
    assert received == ['wanted']
