# SPDX-License-Identifier: Apache-2.0
"""Rays of sensors, and what would come back along them."""

import numpy as np
import pytest
from small_worlds import wall_world

from metric_depth_ros.simulation.sensors.shots import shoot

HERE = np.eye(4)
HERE[2, 3] = 1.0
AHEAD = np.array(((1.0, 0.0, 0.0),), np.float32)


def scattered(count=500):
    directions = np.random.default_rng(0).normal(size=(count, 3))
    return (directions / np.linalg.norm(directions, axis=1)[:, None]).astype(np.float32)


def test_every_ray_gets_its_own_range():
    directions = scattered()
    shots = shoot(wall_world((10.0, -500.0, 500.0)), HERE, directions)
    ends = directions * np.where(np.isfinite(shots.range_m), shots.range_m, 0.0)[:, None]
    on_wall = np.abs(ends[:, 0] - 10.0) < 1e-2
    on_ground = np.abs(ends[:, 2] + 1.0) < 1e-2
    assert (on_wall | on_ground | ~np.isfinite(shots.range_m)).all()
    assert on_wall.any()
    assert on_ground.any()


def test_walls_are_upright_and_the_ground_is_level():
    directions = np.array(((1.0, 0.0, 0.0), (0.6, 0.0, -0.8)), np.float32)
    shots = shoot(wall_world((10.0, -5.0, 5.0)), HERE, directions)
    np.testing.assert_allclose(shots.levelness, (0.0, 1.0), atol=1e-6)
    np.testing.assert_allclose(shots.incidence, (1.0, 0.8), atol=1e-6)


def test_brightness_and_gloss_are_those_of_the_material():
    shots = shoot(wall_world((10.0, -5.0, 5.0), gray=0.4, gloss=0.7), HERE, AHEAD)
    assert shots.brightness[0] == pytest.approx(0.4, abs=1e-6)
    assert shots.gloss[0] == pytest.approx(0.7, abs=1e-6)


def test_rays_may_start_behind_the_first_surface():
    world = wall_world((10.0, -5.0, 5.0), (20.0, -5.0, 5.0))
    shots = shoot(world, HERE, AHEAD, np.array((12.0,), np.float32))
    assert shots.range_m[0] == pytest.approx(20.0, abs=1e-4)
