# SPDX-License-Identifier: Apache-2.0
"""Simulated radars."""

from dataclasses import replace

import numpy as np
import pytest
from small_worlds import wall_world

from metric_depth_ros.simulation.sensors.radar import RadarModel, detect

CLEAN = RadarModel(returns=60, range_noise_m=0.0, azimuth_noise_deg=0.0, clutter=0.0, ghosts=0.0)
WALL = wall_world((20.0, -50.0, 50.0))


def returns(model, world=WALL, seed=0):
    T = np.eye(4)
    T[2, 3] = 0.5
    return detect(world, T, model, 30.0, np.random.default_rng(seed))


def test_returns_lie_in_the_plane_of_the_radar():
    np.testing.assert_array_equal(returns(RadarModel())[:, 2], 0.0)


def test_the_number_of_returns_is_the_model_s():
    assert len(returns(RadarModel(returns=50))) == 50


def test_walls_answer_and_the_ground_hardly_does():
    x = returns(CLEAN)[:, 0]
    on_wall = np.abs(x - 20.0) < 0.5  # the slant range of a beam that looks up is longer
    assert on_wall.mean() > 0.6


def test_what_lies_behind_an_object_answers_too():
    world = wall_world((10.0, -1.0, 1.0), (30.0, -50.0, 50.0))
    points = returns(CLEAN, world)
    azimuth = np.abs(np.arctan2(points[:, 1], points[:, 0]))
    behind = (azimuth < 0.05) & (points[:, 0] > 25.0)
    assert behind.any()


def test_azimuth_noise_has_its_deviation():
    noisy = replace(CLEAN, azimuth_noise_deg=1.0)
    # A thin pole: all that answers at its distance stands straight ahead.
    pole = wall_world((20.0, -0.2, 0.2))
    points = np.concatenate([returns(noisy, pole, seed) for seed in range(30)])
    of_pole = points[np.abs(np.linalg.norm(points, axis=1) - 20.0) < 0.05]
    azimuth = np.degrees(np.arctan2(of_pole[:, 1], of_pole[:, 0]))
    assert len(azimuth) > 20
    assert np.std(azimuth) == pytest.approx(1.0, rel=0.3)


def test_an_empty_field_hardly_answers():
    assert len(returns(CLEAN, wall_world())) < 10


def test_ghosts_are_twice_as_far():
    assert np.median(np.linalg.norm(returns(replace(CLEAN, ghosts=1.0)), axis=1)) > 39.0


def test_clutter_is_anywhere():
    model = RadarModel(returns=200, clutter=1.0, max_range_m=100.0)
    distance = np.linalg.norm(returns(model), axis=1)
    assert distance.min() < 20.0
    assert distance.max() > 80.0


def test_the_same_seed_gives_the_same_returns():
    np.testing.assert_array_equal(returns(RadarModel(), seed=4), returns(RadarModel(), seed=4))
