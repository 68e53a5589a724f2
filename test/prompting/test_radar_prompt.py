# SPDX-License-Identifier: Apache-2.0
"""Radar returns as prompts."""

import numpy as np
import pytest

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.prompting.radar import (
    double_bounces,
    own_velocity,
    prompt_from_radar,
    vertical_support,
)
from metric_depth_ros.types import Source, SparsePrompt

CAMERA = CameraModel(640, 480, np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]))
FORWARD = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0.5], [1, 0, 0, 0], [0, 0, 0, 1]])


def returns(*range_azimuth_deg):
    range_m, azimuth = np.array(range_azimuth_deg, np.float64).T
    azimuth = np.radians(azimuth)
    xyz = np.stack((range_m * np.cos(azimuth), range_m * np.sin(azimuth), 0.0 * range_m), -1)
    return xyz.astype(np.float32)


def spread(count=40, seed=0):
    rng = np.random.default_rng(seed)
    return returns(*zip(rng.uniform(8, 80, count), rng.uniform(-25, 25, count), strict=True))


def test_points_are_marked_as_radar_with_the_noise_of_one():
    prompt = prompt_from_radar(CAMERA, returns((20, 0), (60, 5)), FORWARD)
    assert np.all(prompt.source == Source.RADAR)
    np.testing.assert_allclose(prompt.sigma, np.hypot(0.5, 0.02 * prompt.depth), rtol=1e-5)


def test_a_return_without_height_keeps_the_pixel_of_the_mounting_plane():
    prompt = prompt_from_radar(CAMERA, returns((20, 0)), FORWARD)
    np.testing.assert_allclose(prompt.uv, [[320.0, 240.0 + 500.0 * 0.5 / 20.0]], atol=1e-3)


def test_returns_behind_a_row_of_nearer_ones_stay():
    near = returns(*((10.0, a) for a in np.arange(-20, 21, 0.5)))
    far = returns((60.0, 0.25))
    above, below = near + np.float32((0, 0, 0.6)), near - np.float32((0, 0, 0.6))
    prompt = prompt_from_radar(CAMERA, np.concatenate((above, below, far)), FORWARD)
    assert np.any(np.abs(prompt.depth - 60.0) < 0.1)


def test_returns_that_are_not_finite_or_out_of_range_are_dropped():
    xyz = np.concatenate((returns((20, 0), (400, 5)), np.full((1, 3), np.nan, np.float32)))
    assert len(prompt_from_radar(CAMERA, xyz, FORWARD)) == 1


@pytest.mark.parametrize('below_db', [0.0, 4.0])
def test_returns_about_as_strong_as_the_others_are_trusted(below_db):
    rcs = np.array([10.0, 10.0, 10.0 - below_db], np.float32)
    prompt = prompt_from_radar(CAMERA, returns((20, -9), (20, 0), (20, 9)), FORWARD, rcs_db=rcs)
    np.testing.assert_allclose(prompt.sigma, np.hypot(0.5, 0.02 * prompt.depth), rtol=1e-5)


def test_weak_returns_are_uncertain():
    rcs = np.array([10.0, 10.0, -5.0], np.float32)
    prompt = prompt_from_radar(CAMERA, returns((20, 9), (20, 5), (20, 0)), FORWARD, rcs_db=rcs)
    # 10 dB weaker than the ordinary range of strengths: the root of 10 in noise.
    assert prompt.sigma[2] / prompt.sigma[1] == pytest.approx(10**0.5, rel=0.02)


def test_returns_of_unknown_strength_are_ordinary():
    rcs = np.array([10.0, 10.0, np.nan], np.float32)
    prompt = prompt_from_radar(CAMERA, returns((20, 9), (20, 5), (20, 0)), FORWARD, rcs_db=rcs)
    assert prompt.sigma[2] == pytest.approx(np.hypot(0.5, 0.4), rel=1e-3)


def test_a_double_bounce_is_known_by_range_strength_and_velocity():
    xyz = returns((20, 3), (40, 3.5), (40, -10))
    rcs, velocity = np.array([15.0, 5.0, 15.0]), np.array([-8.0, -16.1, -8.0])
    np.testing.assert_array_equal(double_bounces(xyz, rcs, velocity), [False, True, False])


@pytest.mark.parametrize(
    ('rcs', 'velocity'),
    [
        ([5.0, 15.0], [-8.0, -16.0]),  # stronger than what it would be an echo of
        ([15.0, 5.0], [-8.0, -8.0]),  # as fast as it: a second object
    ],
)
def test_an_object_at_twice_the_range_of_another_is_no_double_bounce(rcs, velocity):
    xyz = returns((20, 3), (40, 3))
    assert not double_bounces(xyz, np.array(rcs), np.array(velocity)).any()


@pytest.mark.parametrize(
    'near', [((0.3, 0),), ((0.3, 0), (0.3, 0))], ids=['alone', 'reported twice']
)
def test_a_return_next_to_the_radar_is_no_double_bounce_of_itself(near):
    xyz = returns(*near, (8, 20))
    assert not double_bounces(xyz, None, np.zeros(len(xyz))).any()
    assert not double_bounces(xyz, np.full(len(xyz), 5.0), None).any()


def test_a_double_bounce_hardly_counts():
    rcs, velocity = np.array([15.0, 12.0]), np.array([-8.0, -16.0])
    prompt = prompt_from_radar(
        CAMERA, returns((20, 3), (40, 3)), FORWARD, rcs_db=rcs, velocity_mps=velocity
    )
    assert prompt.sigma[1] > 8.0 * prompt.sigma[0]


def test_without_strength_and_velocity_nothing_is_taken_for_a_double_bounce():
    prompt = prompt_from_radar(CAMERA, returns((20, 3), (40, 3)), FORWARD)
    np.testing.assert_allclose(prompt.sigma, np.hypot(0.5, 0.02 * prompt.depth), rtol=1e-5)


def test_own_velocity_is_what_the_motion_of_the_radar_leaves():
    xyz = spread()
    azimuth = np.arctan2(xyz[:, 1], xyz[:, 0])
    velocity = -15.0 * np.cos(azimuth) - 1.0 * np.sin(azimuth)
    velocity[:5] += 7.0
    own = own_velocity(xyz, velocity)
    np.testing.assert_allclose(own[:5], 7.0, atol=0.3)
    np.testing.assert_allclose(own[5:], 0.0, atol=0.3)


def test_compensated_velocities_are_taken_as_they_are():
    velocity = np.zeros(40)
    velocity[3] = 12.0
    own = own_velocity(spread(), velocity)
    assert own[3] == pytest.approx(12.0, abs=0.3)
    assert np.abs(np.delete(own, 3)).max() < 0.3


def test_what_moves_is_uncertain_by_how_far_it_got_since_the_radar_saw_it():
    xyz, velocity = spread(), np.zeros(40)
    velocity[3] = 20.0
    still = prompt_from_radar(CAMERA, xyz, FORWARD)
    moving = prompt_from_radar(CAMERA, xyz, FORWARD, velocity_mps=velocity, stamp_distance_s=0.1)
    grown = np.flatnonzero(moving.sigma > 1.2 * still.sigma)
    assert len(grown) == 1
    assert moving.sigma[grown[0]] == pytest.approx(np.hypot(still.sigma[grown[0]], 2.0), rel=0.05)


@pytest.mark.parametrize('count', [0, 1])
def test_few_returns_are_no_trouble(count):
    xyz = returns((20, 0))[:count]
    prompt = prompt_from_radar(
        CAMERA, xyz, FORWARD, rcs_db=np.ones(count), velocity_mps=np.ones(count)
    )
    assert len(prompt) == count


def test_a_return_stands_for_a_column_above_and_below_the_mounting_plane():
    point = prompt_from_radar(CAMERA, returns((20, 0)), FORWARD)
    column = vertical_support(point, CAMERA)
    np.testing.assert_allclose(column.depth, 20.0, rtol=1e-5)
    np.testing.assert_allclose(column.uv[:, 0], 320.0, atol=1e-3)
    rows = column.uv[:, 1] - point.uv[0, 1]
    assert rows.min() == pytest.approx(-500.0 * 2.0 / 20.0, abs=1e-2)
    assert rows.max() == pytest.approx(500.0 * 0.5 / 20.0, abs=1e-2)
    assert np.all(column.sigma >= point.sigma)
    assert column.sigma[0] == pytest.approx(3.0 * point.sigma[0], rel=1e-4)


def test_a_column_of_a_fisheye_camera_follows_its_lens():
    K = np.array([[400.0, 0.0, 639.5], [0.0, 400.0, 479.5], [0.0, 0.0, 1.0]])
    fisheye = CameraModel(1280, 960, K, Distortion('equidistant', (0.0, 0.0, 0.0, 0.0)))
    side = returns((10 * np.cos(1.3), -10 * np.sin(1.3)))
    column = vertical_support(prompt_from_radar(fisheye, side, FORWARD), fisheye)
    above = side + np.array([[0.0, 0.0, 2.0]])
    highest = column.uv[column.uv[:, 1].argmin()]
    np.testing.assert_allclose(
        highest, prompt_from_radar(fisheye, above, FORWARD).uv[0], atol=0.01
    )


def test_a_column_ends_at_the_border_of_the_image():
    column = vertical_support(prompt_from_radar(CAMERA, returns((1.2, 0)), FORWARD), CAMERA)
    assert len(column) < 7
    assert np.all((column.uv[:, 1] > -0.5) & (column.uv[:, 1] < 479.5))


def test_points_of_other_sensors_are_no_columns():
    lidar = SparsePrompt(
        np.array([[5.0, 6.0]], np.float32),
        np.array([3.0], np.float32),
        np.array([0.02], np.float32),
        np.array([Source.LIDAR], np.uint8),
    )
    assert vertical_support(lidar, CAMERA) is lidar
    both = SparsePrompt.merge((lidar, prompt_from_radar(CAMERA, returns((20, 0)), FORWARD)))
    assert np.sum(vertical_support(both, CAMERA).source == Source.LIDAR) == 1


def test_without_a_camera_nothing_is_spread():
    point = prompt_from_radar(CAMERA, returns((20, 0)), FORWARD)
    assert vertical_support(point, None) is point
