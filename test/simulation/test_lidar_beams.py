# SPDX-License-Identifier: Apache-2.0
"""Where LiDARs shoot, and what comes back from a world that can be written down."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_worlds import wall_world

from metric_depth_ros.simulation.sensors.echoes import EchoModel
from metric_depth_ros.simulation.sensors.lidar import (
    LidarModel,
    raster_beams,
    rosette_beams,
    scan,
    spinning_beams,
)

PERFECT = EchoModel(range_noise_m=0.0, dropout=0.0, divergence_deg=0.0)


@given(lines=st.integers(1, 64), columns=st.integers(1, 400))
def test_a_turn_shoots_every_line_in_every_column(lines, columns):
    beams = spinning_beams(LidarModel(lines=lines, columns=columns))
    assert len(beams.directions) == lines * columns
    np.testing.assert_allclose(np.linalg.norm(beams.directions, axis=1), 1.0, atol=1e-5)


def test_line_zero_is_the_topmost():
    model = LidarModel(lines=3, lowest_deg=-20.0, highest_deg=10.0, columns=8)
    beams = spinning_beams(model)
    elevation = np.degrees(np.arcsin(beams.directions[:3, 2]))
    np.testing.assert_allclose(elevation, (10.0, -5.0, -20.0), atol=1e-4)
    assert beams.ring[:3].tolist() == [0, 1, 2]


def test_a_sector_holds_only_beams_ahead():
    beams = spinning_beams(LidarModel(lines=2, columns=360), half_width_deg=30.0)
    azimuth = np.degrees(np.arctan2(beams.directions[:, 1], beams.directions[:, 0]))
    assert np.abs(azimuth).max() <= 30.001
    assert len(azimuth) == pytest.approx(2 * 61, abs=4)


def test_a_rosette_stays_in_its_round_field_of_view():
    beams = rosette_beams(width_deg=40.0, count=5000, turns=60.0, phase=1.0)
    angle = np.degrees(np.arccos(beams.directions[:, 0]))
    assert 19.0 < angle.max() < 20.1


def test_a_rosette_does_not_repeat_itself():
    beams = rosette_beams(width_deg=40.0, count=5000, turns=60.0, phase=0.0)
    cells = np.unique((beams.directions[:, 1:] * 100).round(), axis=0)
    assert len(cells) > 1000


def test_a_raster_fills_its_field_of_view():
    beams = raster_beams(width_deg=60.0, height_deg=20.0, lines=10, columns=50)
    azimuth = np.degrees(np.arctan2(beams.directions[:, 1], beams.directions[:, 0]))
    elevation = np.degrees(np.arcsin(beams.directions[:, 2]))
    assert len(azimuth) == 500
    np.testing.assert_allclose((azimuth.min(), azimuth.max()), (-30.0, 30.0), atol=0.01)
    np.testing.assert_allclose((elevation.min(), elevation.max()), (-11.0, 11.0), atol=0.1)


def test_a_scan_lies_on_the_wall_and_the_ground():
    T = np.eye(4)
    T[2, 3] = 1.5
    model = LidarModel(lines=8, columns=360, echoes=PERFECT)
    cloud = scan(wall_world((10.0, -50.0, 50.0)), model, T, np.random.default_rng(0))
    on_wall = np.abs(cloud['x'] - 10.0) < 1e-3
    on_ground = np.abs(cloud['z'] + 1.5) < 1e-3
    assert (on_wall | on_ground).all()
    assert on_wall.any()
    assert on_ground.any()


def test_the_same_seed_gives_the_same_scan():
    world, model = wall_world((10.0, -50.0, 50.0)), LidarModel(lines=4, columns=90)
    first, second, other = (
        scan(world, model, np.eye(4), np.random.default_rng(seed))['x'] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert len(first) != len(other) or not np.array_equal(first, other)


def test_dark_walls_send_less_light_back():
    def intensity(gray):
        world = wall_world((5.0, -50.0, 50.0), gray=gray)
        model = LidarModel(lines=4, columns=90, echoes=replace(PERFECT, max_range_m=200.0))
        return scan(world, model, np.eye(4), np.random.default_rng(0))['intensity'].mean()

    assert intensity(0.1) < 0.7 * intensity(0.8)
