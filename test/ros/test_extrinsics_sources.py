# SPDX-License-Identifier: Apache-2.0
"""Extrinsics of Kalibr, of files that change, and of bags whose robot moves."""

import os

import numpy as np
import pytest
import yaml

from metric_depth_ros.bags import layout
from metric_depth_ros.bags.extrinsics import read_poses
from metric_depth_ros.bags.messages import transforms_message
from metric_depth_ros.bags.writer import BagWriter
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.motion import PoseTrack
from metric_depth_ros.ros.extrinsics import create_extrinsics, create_transforms
from metric_depth_ros.ros.moving_tree import MovingTree
from metric_depth_ros.ros.parameters import ExtrinsicsSettings, MountSettings
from metric_depth_ros.ros.static_tree import StaticTree
from metric_depth_ros.ros.watched_calibration import WatchedCalibration

S = 1_000_000_000
CAMCHAIN = {
    'cam0': {
        'T_cam_imu': [[0, -1, 0, 0.1], [0, 0, -1, 0.2], [1, 0, 0, 0.3], [0, 0, 0, 1]],
        'camera_model': 'pinhole',
        'intrinsics': [458.6, 457.3, 367.2, 248.4],
    },
    'cam1': {'T_cn_cnm1': [[1, 0, 0, -0.11], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]},
}


def moved(x_m=0.0, y_m=0.0):
    T = np.eye(4)
    T[:2, 3] = x_m, y_m
    return T


def from_file(path, **settings):
    return create_extrinsics(ExtrinsicsSettings(source='file', path=str(path), **settings), None)


def test_a_camchain_connects_cameras_and_imu(tmp_path):
    path = tmp_path / 'camchain.yaml'
    path.write_text(yaml.safe_dump(CAMCHAIN))
    T = from_file(path).lookup('cam1', 0, 'imu', 0)
    # A point at the origin of the IMU lies at (0.1, 0.2, 0.3) of cam0, 11 cm less of cam1.
    np.testing.assert_allclose(T[:3, 3], [-0.01, 0.2, 0.3], atol=1e-12)


def test_frames_of_a_camchain_take_the_names_of_the_messages(tmp_path):
    path = tmp_path / 'camchain.yaml'
    path.write_text(yaml.safe_dump(CAMCHAIN))
    extrinsics = from_file(path, frames='left_optical=cam0, right_optical=cam1')
    T = extrinsics.lookup('left_optical', 0, 'right_optical', 0)
    np.testing.assert_allclose(T[:3, 3], [0.11, 0.0, 0.0], atol=1e-12)


def test_a_camchain_that_places_nothing_is_refused(tmp_path):
    path = tmp_path / 'camchain.yaml'
    path.write_text(yaml.safe_dump({'cam0': {'camera_model': 'pinhole'}}))
    with pytest.raises(InputError, match='T_cn_cnm1'):
        from_file(path)


@pytest.mark.parametrize('T', [[[1, 2], [3, 4]], 'no matrix', [[2, 0, 0, r] for r in range(4)]])
def test_a_camchain_with_a_bad_matrix_is_refused_by_name(tmp_path, T):
    path = tmp_path / 'camchain.yaml'
    path.write_text(yaml.safe_dump({'cam0': {'T_cam_lidar': T}}))
    with pytest.raises(InputError, match=r'cam0\.T_cam_lidar'):
        from_file(path)


def test_names_of_frames_that_are_no_pairs_are_refused(tmp_path):
    path = tmp_path / 'camchain.yaml'
    path.write_text(yaml.safe_dump(CAMCHAIN))
    with pytest.raises(InputError, match=r"extrinsics\.frames has 'cam0'"):
        from_file(path, frames='cam0')


@pytest.fixture
def watched(tmp_path):
    path = tmp_path / 'x.txt'
    path.write_text('1.0')

    def read(path):
        try:
            return StaticTree({('camera', 'lidar'): moved(float(path.read_text()))}, 'x')
        except ValueError as error:
            raise InputError('extrinsics', 'no number.') from error
        except FileNotFoundError as error:
            raise InputError('extrinsics', 'no file.') from error

    reports = []
    return path, WatchedCalibration(path, read, reports.append), reports


def x_of(extrinsics):
    return extrinsics.lookup('camera', 0, 'lidar', 0)[0, 3]


def replace_text(path, text):
    """Replace a file as editors do; the time differs even on file systems with coarse clocks."""
    path.write_text(text)
    os.utime(path, ns=(path.stat().st_mtime_ns + S, path.stat().st_mtime_ns + S))


def test_a_file_that_changes_is_read_again(watched):
    path, extrinsics, reports = watched
    assert x_of(extrinsics) == 1.0
    replace_text(path, '2.5')
    extrinsics.follow_changes()
    assert x_of(extrinsics) == 2.5
    assert len(reports) == 1


def test_a_change_that_cannot_be_used_is_reported_once_and_not_taken(watched):
    path, extrinsics, reports = watched
    replace_text(path, 'nonsense')
    extrinsics.follow_changes()
    extrinsics.follow_changes()
    assert x_of(extrinsics) == 1.0
    assert reports == ['no number. What was read before stays in force.']
    assert extrinsics.problem == reports[0]
    replace_text(path, '2.5')
    extrinsics.follow_changes()
    assert extrinsics.problem == ''


def test_a_file_that_is_gone_for_a_moment_stays_in_force(watched):
    path, extrinsics, reports = watched
    status = path.stat()
    path.unlink()
    extrinsics.follow_changes()
    assert x_of(extrinsics) == 1.0
    path.write_text('1.0')
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    extrinsics.follow_changes()
    path.unlink()
    extrinsics.follow_changes()
    assert reports == []
    assert extrinsics.problem == ''


def test_a_file_that_stays_away_is_reported_once_until_it_is_back(watched):
    path, extrinsics, reports = watched
    path.unlink()
    for _ in range(4):
        extrinsics.follow_changes()
    assert x_of(extrinsics) == 1.0
    assert reports == ['no file. What was read before stays in force.']
    assert extrinsics.problem == reports[0]
    path.write_text('3.0')
    extrinsics.follow_changes()
    assert x_of(extrinsics) == 3.0
    assert extrinsics.problem == ''
    assert len(reports) == 2


MOUNTED = {('base', 'camera'): moved(1.0), ('base', 'lidar'): moved(3.0)}
PATH = PoseTrack(np.array([0, S]), np.stack((moved(0.0), moved(20.0))))
LATE = PoseTrack(np.array([S, 3 * S]), np.stack((moved(0.0), moved(1.0))))


def test_a_moving_robot_moves_the_measurement_to_the_time_of_the_image():
    tree = MovingTree(MOUNTED, {('odom', 'base'): PATH}, 'odom', 'test')
    T = tree.lookup('camera', S, 'lidar', S - S // 10)
    assert T[0, 3] == pytest.approx(2.0 - 2.0)


@pytest.mark.parametrize(
    ('tracks', 'fixed_frame', 'stamp_ns'),
    [
        ({}, 'odom', S // 2),
        ({('odom', 'base'): PATH}, 'map', S // 2),
        ({('odom', 'base'): PATH}, '', S // 2),
        ({('odom', 'base'): PATH}, 'odom', 2 * S),
    ],
)
def test_without_known_motion_the_sensors_count_as_mounted(tracks, fixed_frame, stamp_ns):
    tree = MovingTree(MOUNTED, tracks, fixed_frame, 'test')
    assert tree.lookup_through_fixed_frame('camera', stamp_ns, 'lidar', stamp_ns - S // 10) is None
    assert tree.lookup('camera', stamp_ns, 'lidar', stamp_ns - S // 10)[0, 3] == 2.0


def test_a_path_that_has_nothing_to_do_with_it_does_not_hide_the_motion():
    tag = PoseTrack(np.array([S // 4, S // 3]), np.stack((moved(0.0), moved(1.0))))
    tree = MovingTree(MOUNTED, {('odom', 'base'): PATH, ('camera', 'tag'): tag}, 'odom', 'test')
    assert tree.lookup_through_fixed_frame('camera', S, 'lidar', S - S // 10)[
        0, 3
    ] == pytest.approx(0.0)


def test_a_transform_of_a_stamp_is_never_that_of_another():
    tree = MovingTree(MOUNTED, {('odom', 'base'): PATH, ('map', 'odom'): LATE}, '', 'test')
    assert tree.lookup_at('odom', 'camera', S // 2)[0, 3] == pytest.approx(11.0)
    assert tree.lookup_at('lidar', 'camera', 2 * S)[0, 3] == -2.0
    with pytest.raises(InputError, match=r"'camera' to 'odom' in test, at 2\.000 s"):
        tree.lookup_at('odom', 'camera', 2 * S)
    assert tree.try_lookup('odom', 'camera', 2 * S) is None
    with pytest.raises(InputError, match="'camera' to 'earth'"):
        tree.try_lookup('earth', 'camera', 2 * S)


@pytest.mark.parametrize(('stamp_ns', 'x'), [(-S, 1.0), (9 * S, 21.0)])
def test_a_recording_of_another_time_tells_how_the_robot_is_built(stamp_ns, x):
    tree = MovingTree(MOUNTED, {('odom', 'base'): PATH}, '', 'test')
    assert tree.lookup_at('odom', 'camera', stamp_ns)[0, 3] == pytest.approx(x)
    assert tree.try_lookup('odom', 'camera', stamp_ns)[0, 3] == pytest.approx(x)


def test_a_link_that_never_moves_is_known_at_any_time():
    bolted = PoseTrack(np.array([0, S]), np.stack((moved(5.0), moved(5.0))))
    tracks = {('base', 'mast'): bolted, ('odom', 'base'): LATE}
    tree = MovingTree(MOUNTED, tracks, '', 'test')
    assert tree.lookup_at('camera', 'mast', 2 * S)[0, 3] == pytest.approx(4.0)


def test_links_on_the_tf_of_a_bag_of_another_time_are_a_mount(tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write(layout.TF_STATIC_TOPIC, transforms_message({('base', 'mast'): moved(1.0)}, S), S)
        for stamp_ns in (S, 2 * S):
            link = transforms_message({('mast', 'camera'): moved(2.0)}, stamp_ns)
            bag.write(layout.TF_TOPIC, link, stamp_ns)
    mount = create_transforms(MountSettings('bag', str(tmp_path / 'bag')), node=None)
    found = mount.try_lookup('base', 'camera', 1_800_000_000 * S)
    assert found[0, 3] == pytest.approx(3.0)


def test_frames_of_a_file_may_begin_with_a_slash_as_those_of_messages():
    tree = StaticTree({('/cam', '/lidar'): moved(2.0)}, 'test')
    assert tree.lookup('cam', 0, '/lidar', 0)[0, 3] == 2.0


def test_poses_of_a_bag_are_sorted_by_their_stamps(tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        for stamp, x in ((3 * S, 3.0), (S, 1.0), (2 * S, 2.0)):
            message = transforms_message({('odom', 'base_link'): moved(x)}, stamp)
            bag.write(layout.TF_TOPIC, message, 3 * S)
    track = read_poses(tmp_path / 'bag')['odom', 'base_link']
    np.testing.assert_array_equal(track.stamps_ns, [S, 2 * S, 3 * S])
    np.testing.assert_array_equal(track.transforms[:, 0, 3], [1.0, 2.0, 3.0])


def test_a_bag_with_poses_compensates_motion_without_tf2(tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write(layout.TF_STATIC_TOPIC, transforms_message(MOUNTED, S), S)
        for i in range(3):
            message = transforms_message({('odom', 'base'): moved(10.0 * i)}, S + i * S)
            bag.write(layout.TF_TOPIC, message, S + i * S)
    settings = ExtrinsicsSettings(source='bag', path=str(tmp_path / 'bag'))
    T = create_extrinsics(settings, None).lookup('camera', 2 * S, 'lidar', 2 * S - S // 10)
    assert T[0, 3] == pytest.approx(1.0)


def unfilled(transforms, stamp_ns):
    """Return a message of transforms whose last was never filled in."""
    message = transforms_message(transforms, stamp_ns)
    turn = message.transforms[-1].transform.rotation
    turn.x = turn.y = turn.z = turn.w = 0.0
    return message


def test_a_transform_that_was_never_filled_in_costs_no_other(tmp_path):
    path = tmp_path / 'bag'
    with BagWriter(path) as bag:
        bag.write(layout.TF_STATIC_TOPIC, unfilled({**MOUNTED, ('base', 'arm'): moved()}, S), S)
        bag.write(layout.TF_STATIC_TOPIC, unfilled({('base', 'lidar'): moved()}, S), S)
        for stamp_ns in (S, 2 * S):
            wheels = {('odom', 'base'): moved(1.0), ('base', 'wheel'): moved()}
            bag.write(layout.TF_TOPIC, unfilled(wheels, stamp_ns), stamp_ns)
    extrinsics = create_extrinsics(ExtrinsicsSettings(source='bag', path=str(path)), None)
    assert extrinsics.lookup('camera', S, 'lidar', S)[0, 3] == 2.0
    assert read_poses(path).keys() == {('odom', 'base')}


def test_a_transform_that_was_never_filled_in_is_missed_by_bag_and_frames(tmp_path, caplog):
    path = tmp_path / 'bag'
    with BagWriter(path) as bag:
        for _ in range(2):
            bag.write(layout.TF_STATIC_TOPIC, unfilled(MOUNTED, S), S)
    extrinsics = create_extrinsics(ExtrinsicsSettings(source='bag', path=str(path)), None)
    with pytest.raises(InputError, match=rf"'lidar' to 'camera' in /tf_static of {path}") as error:
        extrinsics.lookup('camera', S, 'lidar', S)
    assert error.value.fault == 'transform_missing'
    (said,) = caplog.messages
    assert f"{path}: the place of 'lidar' in 'base' on /tf_static is left out" in said


def test_a_file_of_kitti_places_no_frames_by_name(tmp_path):
    path = tmp_path / 'calib.txt'
    path.write_text('anything')
    with pytest.raises(InputError, match=r'calib\.txt .*names no frames.*give a YAML file'):
        create_transforms(MountSettings('file', str(path)), node=None)


def test_frames_of_a_file_are_found_by_name(tmp_path):
    path = tmp_path / 'places.yaml'
    place = {'parent': 'base', 'child': 'camera', 'translation': [1, 2, 3]}
    path.write_text(yaml.safe_dump({'transforms': [{**place, 'rotation': [0, 0, 0, 1]}]}))
    mount = create_transforms(MountSettings('file', str(path)), node=None)
    np.testing.assert_allclose(mount.lookup_at('base', 'camera', 0)[:3, 3], [1, 2, 3])
    mount.close()
