# SPDX-License-Identifier: Apache-2.0
"""Poses between poses, and swept clouds."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.motion import PoseTrack, move_swept_points
from metric_depth_ros.geometry.rigid import inverse

S = 1_000_000_000


def pose(x_m, yaw_deg):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler('z', yaw_deg, degrees=True).as_matrix()
    T[0, 3] = x_m
    return T


def test_a_pose_between_two_is_on_the_way():
    track = PoseTrack(np.array([0, S]), np.stack((pose(0.0, 170.0), pose(4.0, 190.0))))
    np.testing.assert_allclose(track.at(S // 4), pose(1.0, 175.0), atol=1e-12)


@pytest.mark.parametrize('index', [0, 1, 2])
def test_a_known_pose_is_returned_as_it_is(index):
    transforms = np.stack([pose(i, 10.0 * i) for i in range(3)])
    track = PoseTrack(np.arange(3) * S, transforms)
    np.testing.assert_array_equal(track.at(index * S), transforms[index])


@pytest.mark.parametrize('stamp_ns', [-1, S + 1])
def test_a_track_says_nothing_about_other_times(stamp_ns):
    track = PoseTrack(np.array([0, S]), np.stack((pose(0, 0), pose(1, 0))))
    with pytest.raises(InputError, match=r'poses are known from 0\.000 to 1\.000'):
        track.at(stamp_ns)


def test_stamps_have_to_ascend():
    with pytest.raises(InputError, match='ascending'):
        PoseTrack(np.array([S, 0]), np.stack((pose(0, 0), pose(1, 0))))


def test_swept_points_of_a_turning_sensor_end_where_they_stand():
    # 15 m/s and 45 deg/s for 0.1 s, points 50 m away.
    rng = np.random.default_rng(0)
    world = rng.uniform(-50, 50, (400, 3))
    share = rng.random(400)
    swept = np.stack(
        [
            (inverse(pose(1.5 * s, 4.5 * s)) @ [*p, 1.0])[:3]
            for p, s in zip(world, share, strict=True)
        ]
    )
    poses = [pose(1.5 * s, 4.5 * s) for s in (0.0, 0.5, 1.0)]
    moved = move_swept_points(swept, share.astype(np.float32), *poses)
    assert np.abs(moved - world).max() < 1e-3
