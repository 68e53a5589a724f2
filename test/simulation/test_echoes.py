# SPDX-License-Identifier: Apache-2.0
"""What a laser makes of its echoes."""

from dataclasses import replace

import numpy as np
import pytest

from metric_depth_ros.simulation.sensors.echoes import EchoModel, receive
from metric_depth_ros.simulation.sensors.shots import Shots

COUNT = 4000
PERFECT = EchoModel(range_noise_m=0.0, dropout=0.0, divergence_deg=0.0)


def shots_at(range_m, incidence=1.0, brightness=0.5, gloss=0.0):
    def full(value):
        return np.full(COUNT, value, np.float32)

    return Shots(
        np.broadcast_to(np.float32(range_m), COUNT).copy(),
        full(incidence),
        full(0.0),
        full(brightness),
        full(gloss),
    )


def received(shots, model, seed=0):
    angle = np.radians(0.2) * np.arange(COUNT)
    directions = np.stack((np.cos(angle), np.sin(angle), 0.0 * angle), -1).astype(np.float32)
    ring = np.zeros(COUNT, np.int64)
    return receive(shots, directions, ring, model, np.random.default_rng(seed))


def share_lost(shots, model=PERFECT):
    return np.isnan(received(shots, model)).mean()


def test_a_perfect_laser_measures_the_range():
    np.testing.assert_array_equal(received(shots_at(10.0), PERFECT), 10.0)


def test_what_meets_nothing_sends_nothing_back():
    assert share_lost(shots_at(np.inf)) == 1.0


def test_nothing_comes_back_from_beyond_the_range():
    assert share_lost(shots_at(120.0, brightness=1.0)) == 1.0


def test_range_noise_has_its_deviation():
    measured = received(shots_at(10.0), replace(PERFECT, range_noise_m=0.05))
    assert np.std(measured - 10.0) == pytest.approx(0.05, rel=0.1)


def test_the_share_of_lost_returns_is_the_dropout():
    assert share_lost(shots_at(5.0), replace(PERFECT, dropout=0.2)) == pytest.approx(0.2, abs=0.03)


def test_echoes_weaker_than_that_of_a_white_wall_at_full_range_get_lost():
    assert share_lost(shots_at(99.9, brightness=1.0)) < 0.01
    # The wall is white to a share of 0.19, and at half the range four times as bright.
    assert share_lost(shots_at(50.0, brightness=0.1)) == pytest.approx(1.0 - 4 * 0.19, abs=0.03)


@pytest.mark.parametrize(
    ('easy', 'hard'),
    [
        ({'range_m': 40.0, 'brightness': 0.6}, {'range_m': 40.0, 'brightness': 0.02}),
        ({'range_m': 30.0, 'incidence': 0.8}, {'range_m': 30.0, 'incidence': 0.02}),
        ({'range_m': 10.0, 'gloss': 0.1}, {'range_m': 10.0, 'gloss': 0.9, 'incidence': 0.6}),
        ({'range_m': 20.0, 'brightness': 0.05}, {'range_m': 90.0, 'brightness': 0.05}),
    ],
    ids=['dark', 'grazing', 'mirror', 'far'],
)
def test_difficult_surfaces_lose_more_returns(easy, hard):
    assert share_lost(shots_at(**hard)) > share_lost(shots_at(**easy)) + 0.2


def edge(near_m, far_m):
    return shots_at(np.where(np.arange(COUNT) // 2 % 2, near_m, far_m))


def test_beams_at_an_edge_report_either_surface():
    measured = received(edge(5.0, 20.0), replace(PERFECT, divergence_deg=0.2))
    truth = edge(5.0, 20.0).range_m
    assert set(np.unique(measured)) == {5.0, 20.0}
    assert 0.1 < np.mean(measured != truth) < 0.4


def test_beams_at_a_small_step_report_a_range_in_between():
    measured = received(edge(5.0, 6.0), replace(PERFECT, divergence_deg=0.2))
    between = (measured > 5.01) & (measured < 5.99)
    assert 0.1 < between.mean() < 0.6
    assert measured.min() >= 5.0
    assert measured.max() <= 6.0


def test_narrow_beams_rarely_straddle_an_edge():
    def mixed(divergence_deg):
        shots = edge(5.0, 20.0)
        measured = received(shots, replace(PERFECT, divergence_deg=divergence_deg))
        return np.mean(measured != shots.range_m)

    assert mixed(0.02) < 0.3 * mixed(0.2)
