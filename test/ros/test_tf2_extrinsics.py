# SPDX-License-Identifier: Apache-2.0
"""Extrinsics from tf2, with the real listener and real transforms on /tf and /tf_static."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time

import depth_contract
import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from stubbed_tf2 import stub_tf2

from metric_depth_ros.errors import InputError
from metric_depth_ros.middleware import dds_environment
from metric_depth_ros.replay.spinning_node import idle_node
from metric_depth_ros.resources import share_file
from metric_depth_ros.ros.tf2_tree import Tf2Extrinsics, extrinsics_tree

INSTALLED = importlib.util.find_spec('tf2_ros') is not None
needs_tf2 = pytest.mark.skipif(not INSTALLED, reason='tf2_ros of a ROS distribution is missing')
S = 1_000_000_000
MAX_WAIT_S = 0.04


@pytest.fixture
def ros():
    with idle_node('test_tf2_extrinsics') as (node, executor):
        yield node, executor


def transform(parent, child, stamp_s=0.0, x=0.0):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(round(stamp_s * S), S)
    message.transform.translation.x = x
    return message


def wait_until(executor, arrived, deadline_s=20.0):
    ends = time.monotonic() + deadline_s
    while time.monotonic() < ends:
        executor.spin_once(0.05)
        if arrived():
            return
    raise AssertionError(f'no transform within {deadline_s} s')


def known(extrinsics, camera, camera_ns, sensor, sensor_ns):
    try:
        extrinsics.lookup(camera, camera_ns, sensor, sensor_ns)
    except InputError:
        return False
    return True


def send_until_matched(node, executor, broadcaster, messages):
    """Send dynamic transforms once the listener is connected: /tf keeps nothing for late ones."""
    wait_until(executor, lambda: broadcaster.pub_tf.get_subscription_count() > 0)
    broadcaster.sendTransform(messages)


@needs_tf2
def test_static_transforms_are_chained(ros):
    from tf2_ros import StaticTransformBroadcaster

    node, executor = ros
    extrinsics = Tf2Extrinsics(node, 'odom', MAX_WAIT_S)
    broadcaster = StaticTransformBroadcaster(node)
    broadcaster.sendTransform(
        [transform('base_link', 'camera', x=1.0), transform('base_link', 'lidar', x=3.0)]
    )
    wait_until(executor, lambda: known(extrinsics, 'camera', 5 * S, 'lidar', 5 * S))
    found = extrinsics.lookup('camera', 5 * S, 'lidar', 5 * S)
    np.testing.assert_allclose(found[:3, 3], [2.0, 0.0, 0.0])
    np.testing.assert_allclose(found[:3, :3], np.eye(3))


@needs_tf2
def test_measurement_is_moved_through_the_fixed_frame(ros):
    from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

    node, executor = ros
    extrinsics = Tf2Extrinsics(node, 'odom', MAX_WAIT_S)
    static = StaticTransformBroadcaster(node)
    static.sendTransform(
        [transform('base_link', 'camera', x=1.0), transform('base_link', 'lidar', x=3.0)]
    )
    drive = [transform('odom', 'base_link', 100.0 + t, x=10.0 * t) for t in (0.0, 0.1, 0.2)]
    send_until_matched(node, executor, TransformBroadcaster(node), drive)

    def offset(camera_s, lidar_s):
        return extrinsics.lookup('camera', round(camera_s * S), 'lidar', round(lidar_s * S))[0, 3]

    # The point was measured at 100.0; the car is 1 m farther when the image is taken.
    wait_until(
        executor,
        lambda: (
            known(extrinsics, 'camera', 100 * S, 'lidar', 100 * S) and offset(100.1, 100.0) < 1.5
        ),
    )
    assert offset(100.1, 100.0) == pytest.approx(1.0)
    assert offset(100.1, 100.1) == pytest.approx(2.0)


@needs_tf2
def test_a_mounting_that_changes_while_the_node_runs_is_followed(ros):
    from tf2_ros import StaticTransformBroadcaster

    node, executor = ros
    extrinsics = Tf2Extrinsics(node, 'odom', MAX_WAIT_S)

    def offset():
        if not known(extrinsics, 'camera', 5 * S, 'lidar', 5 * S):
            return None
        return extrinsics.lookup('camera', 5 * S, 'lidar', 5 * S)[0, 3]

    for x in (2.0, 2.5):
        # A publisher each, as when it is started anew: one sends a frame's first transform only.
        broadcaster = StaticTransformBroadcaster(node)
        broadcaster.sendTransform([transform('camera', 'lidar', x=x)])
        wait_until(executor, lambda x=x: offset() == pytest.approx(x))


@needs_tf2
def test_motion_is_known_only_where_odometry_covers_both_stamps(ros):
    from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

    node, executor = ros
    extrinsics = Tf2Extrinsics(node, 'odom', MAX_WAIT_S)
    static = StaticTransformBroadcaster(node)
    static.sendTransform(
        [transform('base_link', 'camera', x=1.0), transform('base_link', 'lidar', x=3.0)]
    )
    wait_until(executor, lambda: known(extrinsics, 'camera', S, 'lidar', S))
    assert extrinsics.lookup_through_fixed_frame('camera', 100 * S, 'lidar', 100 * S) is None
    drive = [transform('odom', 'base_link', 100.0 + t, x=10.0 * t) for t in (0.0, 0.1, 0.2)]
    send_until_matched(node, executor, TransformBroadcaster(node), drive)

    def moved(lidar_s):
        return extrinsics.lookup_through_fixed_frame(
            'camera', round(100.1 * S), 'lidar', round(lidar_s * S)
        )

    wait_until(executor, lambda: moved(100.05) is not None)
    assert moved(100.05)[0, 3] == pytest.approx(1.5)
    assert moved(100.3) is None
    assert extrinsics.lookup('camera', round(100.1 * S), 'lidar', round(100.3 * S))[
        0, 3
    ] == pytest.approx(2.0)


@needs_tf2
def test_odometry_that_is_about_to_arrive_is_waited_for(ros):
    from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

    node, executor = ros
    extrinsics = Tf2Extrinsics(node, 'odom', max_wait_s=60.0)
    static = StaticTransformBroadcaster(node)
    static.sendTransform([transform('base_link', 'camera'), transform('base_link', 'lidar')])
    moving = TransformBroadcaster(node)
    send_until_matched(node, executor, moving, [transform('odom', 'base_link', 100.0)])
    wait_until(executor, lambda: known(extrinsics, 'camera', 100 * S, 'lidar', 100 * S))
    stamps = 'camera', round(100.1 * S), 'lidar', 100 * S
    assert Tf2Extrinsics(node, 'odom', max_wait_s=0.0).lookup_through_fixed_frame(*stamps) is None
    found = []
    asking = threading.Thread(
        target=lambda: found.append(extrinsics.lookup_through_fixed_frame(*stamps))
    )
    asking.start()
    moving.sendTransform(transform('odom', 'base_link', 100.2, x=2.0))
    wait_until(executor, lambda: not asking.is_alive())
    assert found[0][0, 3] == pytest.approx(-1.0)


@needs_tf2
def test_after_one_wait_in_vain_odometry_is_waited_for_again(ros, monkeypatch):
    from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

    node, executor = ros
    extrinsics = Tf2Extrinsics(node, 'odom', max_wait_s=MAX_WAIT_S)
    static = StaticTransformBroadcaster(node)
    static.sendTransform([transform('base_link', 'camera'), transform('base_link', 'lidar')])
    moving = TransformBroadcaster(node)
    send_until_matched(node, executor, moving, [transform('odom', 'base_link', 100.0)])
    wait_until(executor, lambda: known(extrinsics, 'camera', 100 * S, 'lidar', 100 * S))

    waits, arrives = [], extrinsics._tree.arrives
    monkeypatch.setattr(
        extrinsics._tree, 'arrives', lambda known: waits.append(True) or arrives(known)
    )

    def waits_at(camera_s):
        waits.clear()
        assert (
            extrinsics.lookup_through_fixed_frame('camera', camera_s * S, 'lidar', 100 * S) is None
        )
        return bool(waits)

    waited = [waits_at(second) for second in range(101, 109)]
    assert waited == [True, False, True, False, False, True, False, False]


@needs_tf2
def test_a_transform_of_a_stamp_is_never_the_latest(ros):
    from rclpy.time import Time
    from tf2_ros import TransformBroadcaster

    node, executor = ros
    tree = extrinsics_tree(node, max_wait_s=0.0)
    drive = [transform('odom', 'camera', float(t), x=float(t)) for t in (100, 101)]
    send_until_matched(node, executor, TransformBroadcaster(node), drive)
    newest = Time(nanoseconds=101 * S)
    wait_until(executor, lambda: tree.buffer.can_transform('odom', 'camera', newest))
    assert tree.lookup_at('odom', 'camera', round(100.5 * S))[0, 3] == pytest.approx(100.5)
    for second in (50, 102):
        with pytest.raises(InputError, match='at ' + str(second)):
            tree.lookup_at('odom', 'camera', second * S)
    assert tree.try_lookup('odom', 'camera', round(100.5 * S))[0, 3] == pytest.approx(100.5)
    assert tree.try_lookup('odom', 'camera', 102 * S) is None
    with pytest.raises(InputError, match="'lidar' to 'odom'"):
        tree.try_lookup('odom', 'lidar', 102 * S)


@needs_tf2
def test_after_a_jump_back_of_the_clock_motion_is_known_again(ros):
    from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

    node, executor = ros
    extrinsics = Tf2Extrinsics(node, 'odom', MAX_WAIT_S)
    static = StaticTransformBroadcaster(node)
    static.sendTransform(
        [transform('base_link', 'camera', x=1.0), transform('base_link', 'lidar', x=3.0)]
    )
    moving = TransformBroadcaster(node)

    def drive(begin_s):
        send_until_matched(
            node,
            executor,
            moving,
            [transform('odom', 'base_link', begin_s + t, x=10 * t) for t in (0.0, 0.1)],
        )

    def offset(begin_s):
        stamps = round((begin_s + 0.1) * S), round(begin_s * S)
        if not known(extrinsics, 'camera', stamps[0], 'lidar', stamps[1]):
            return None
        return extrinsics.lookup('camera', stamps[0], 'lidar', stamps[1])[0, 3]

    drive(100.0)
    wait_until(executor, lambda: offset(100.0) == pytest.approx(1.0))
    offset(20.0)  # the first frame of the bag's next round
    drive(20.0)
    wait_until(executor, lambda: offset(20.0) == pytest.approx(1.0))


class RememberingBuffer:
    """A tree of tf2 that knows no motion, and remembers how often it was cleared and asked."""

    cleared = waits = 0

    def __init__(self):
        self.frames = set()

    def can_transform(self, target, source, *when):
        self.waits += 1
        self.frames |= {target, source}
        return False

    def lookup_transform(self, *asked):
        raise LookupError(asked)

    def clear(self):
        self.cleared += 1


@pytest.fixture
def stubbed(monkeypatch):
    """Return extrinsics of a tf2 that need not be installed, and its buffer."""
    buffer = RememberingBuffer()
    stub_tf2(monkeypatch, buffer)
    return Tf2Extrinsics(None, 'odom', 0.0), buffer


def test_a_camera_that_goes_back_against_its_own_stamps_clears_the_tree_once(stubbed):
    extrinsics, buffer = stubbed
    for camera in ('left', 'right'):
        extrinsics.lookup_through_fixed_frame(camera, 100 * S, 'lidar', 100 * S)
    assert buffer.cleared == 0
    for second in (20, 21):
        for camera in ('left', 'right'):
            extrinsics.lookup_through_fixed_frame(camera, second * S, 'lidar', second * S)
    assert buffer.cleared == 1


def test_cameras_of_different_clocks_leave_the_tree_alone(stubbed):
    extrinsics, buffer = stubbed
    for second in range(100, 110):
        extrinsics.lookup_through_fixed_frame('good', second * S, 'lidar', second * S)
        extrinsics.lookup_through_fixed_frame(
            'without_a_clock', (second - 100) * S, 'lidar', second * S
        )
    assert buffer.cleared == 0


def test_frames_that_begin_with_a_slash_are_those_without(stubbed):
    _, buffer = stubbed
    extrinsics, tree = Tf2Extrinsics(None, '/odom', 0.0), extrinsics_tree(None, 0.0)
    for ask in (
        lambda: extrinsics.lookup('/camera', S, '/lidar', S),
        lambda: tree.lookup_at('/odom', '/camera', S),
        lambda: tree.try_lookup('/odom', '/camera', S),
    ):
        with pytest.raises(InputError):
            ask()
    assert buffer.frames == {'odom', 'camera'}


@pytest.mark.parametrize('frames', [('', ''), ('camera', ''), ('', 'lidar')])
def test_a_frame_without_a_name_is_refused_before_the_tree_is_asked(stubbed, frames):
    extrinsics, buffer = stubbed
    camera, sensor = frames
    assert extrinsics.lookup_through_fixed_frame(camera, S, sensor, S) is None
    for ask in (
        lambda: extrinsics.lookup(camera, S, sensor, S),
        lambda: extrinsics_tree(None, 0.0).lookup_at(camera, sensor, S),
    ):
        with pytest.raises(InputError, match=r'header\.frame_id') as caught:
            ask()
        assert caught.value.fault == 'transform_missing'
    assert buffer.waits == 0


def test_a_question_about_an_older_stamp_is_no_clock_that_went_back(stubbed):
    _, buffer = stubbed
    tree = extrinsics_tree(None, 0.0)
    for second in (100, 93, 101):
        with pytest.raises(InputError):
            tree.lookup_at('map', 'camera', second * S)
    assert buffer.cleared == 0


def test_a_callback_asks_for_a_transform_without_waiting_for_it(stubbed):
    _, buffer = stubbed
    tree = extrinsics_tree(None, 0.0)
    with pytest.raises(InputError, match="'camera' to 'map'"):
        tree.lookup_at('map', 'camera', S, wait=False)
    assert buffer.waits == 0
    with pytest.raises(InputError):
        tree.lookup_at('map', 'camera', S)
    assert buffer.waits == 1


@needs_tf2
def test_without_the_fixed_frame_the_sensors_count_as_rigidly_mounted(ros):
    from tf2_ros import StaticTransformBroadcaster

    node, executor = ros
    extrinsics = Tf2Extrinsics(node, 'no_such_frame', MAX_WAIT_S)
    broadcaster = StaticTransformBroadcaster(node)
    broadcaster.sendTransform([transform('camera', 'lidar', x=2.0)])
    wait_until(executor, lambda: known(extrinsics, 'camera', 5 * S, 'lidar', 9 * S))
    assert extrinsics.lookup('camera', 5 * S, 'lidar', 9 * S)[0, 3] == pytest.approx(2.0)


@needs_tf2
def test_missing_transform_names_both_frames_and_the_remedy(ros):
    extrinsics = Tf2Extrinsics(ros[0], 'odom', MAX_WAIT_S)
    with pytest.raises(InputError, match=r"'lidar' to 'camera'.*static_transform_publisher"):
        extrinsics.lookup('camera', S, 'lidar', S)


@needs_tf2
@pytest.mark.parametrize('frame', ['', '/lidar', 'a b'])
def test_unusable_frame_name_is_a_missing_transform(ros, frame):
    extrinsics = Tf2Extrinsics(ros[0], 'odom', MAX_WAIT_S)
    with pytest.raises(InputError) as caught:
        extrinsics.lookup('camera', S, frame, S)
    assert caught.value.fault == 'transform_missing'


@needs_tf2
def test_cloud_in_the_frame_of_the_camera_needs_no_transform(ros):
    extrinsics = Tf2Extrinsics(ros[0], 'odom', MAX_WAIT_S)
    np.testing.assert_array_equal(extrinsics.lookup('camera', S, 'camera', S), np.eye(4))


@needs_tf2
def test_closed_listener_is_unsubscribed(ros):
    node, _ = ros
    before = len(list(node.subscriptions))
    extrinsics = Tf2Extrinsics(node, 'odom', MAX_WAIT_S)
    assert len(list(node.subscriptions)) == before + 2
    extrinsics.close()
    assert len(list(node.subscriptions)) == before


@needs_tf2
def test_node_answers_with_the_place_of_the_lidar_from_tf(ros):
    from tf2_ros import StaticTransformBroadcaster

    broadcaster = StaticTransformBroadcaster(ros[0])
    broadcaster.sendTransform(depth_contract.mounting())
    node = subprocess.Popen(
        [
            sys.executable, '-m', 'metric_depth_ros.nodes.depth', '--ros-args',
            '--params-file', str(share_file('config/generic.yaml')), '-p', 'estimator:=nearest',
        ],
        env={**os.environ, **dds_environment()},
    )  # fmt: skip
    try:
        depth_contract.check(depth_contract.ask())
        node.send_signal(signal.SIGINT)
        assert node.wait(15) == 0
    finally:
        node.kill()


@needs_tf2
def test_a_transform_that_comes_late_is_reported_as_missing_until_it_is_there(ros, tmp_path):
    from tf2_ros import StaticTransformBroadcaster

    log = tmp_path / 'log.txt'
    with log.open('wb') as output:
        node = subprocess.Popen(
            [
                sys.executable, '-m', 'metric_depth_ros.nodes.depth', '--ros-args',
                '-p', 'estimator:=nearest', '-p', 'extrinsics.source:=tf2',
            ],
            env={**os.environ, **dds_environment()}, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    broadcaster = StaticTransformBroadcaster(ros[0])

    def come_late():
        ends = time.monotonic() + 45.0
        while '/points [transform_missing]' not in log.read_text() and time.monotonic() < ends:
            time.sleep(0.05)
        broadcaster.sendTransform(depth_contract.mounting())

    late = threading.Thread(target=come_late)
    late.start()
    try:
        depth_contract.check(depth_contract.ask())
        late.join()
        assert '/points [transform_missing]' in log.read_text()
        node.send_signal(signal.SIGINT)
        assert node.wait(15) == 0
    finally:
        node.kill()


@pytest.mark.skipif(INSTALLED, reason='tf2_ros is installed')
def test_without_tf2_the_message_says_what_to_install_and_what_to_set(ros):
    with pytest.raises(InputError, match=r'tf2-ros-py.*extrinsics\.source to file or bag'):
        Tf2Extrinsics(ros[0], 'odom', MAX_WAIT_S)
