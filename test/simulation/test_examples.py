# SPDX-License-Identifier: Apache-2.0
"""Simulated training examples."""

import numpy as np
import pytest
import torch
from small_worlds import wall_world

from metric_depth_ros.simulation.examples import _streams, simulate_example, simulate_examples
from metric_depth_ros.simulation.scene import OPTICAL, camera_of
from metric_depth_ros.simulation.sensors.rig import Site, measure_with_rig
from metric_depth_ros.simulation.worlds import KINDS
from metric_depth_ros.types import Source

SIZE = (96, 64)


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    """Keep torch's threads from waiting for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(seed=1, split='train', kind='street'):
    return simulate_example(seed, split, kind=kind, size=SIZE)


@pytest.fixture(scope='module')
def streets():
    return [small(seed) for seed in range(5)]


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_of_world_gives_an_example(kind):
    example = small(kind=kind)
    assert example.image.shape == (64, 96, 3)
    assert example.image.dtype == np.uint8
    assert example.depth.shape == (64, 96)
    assert example.depth.dtype == np.float32
    assert example.camera.size == SIZE
    assert example.kind == kind


def test_depth_is_positive_or_the_sky(streets):
    for example in streets:
        assert not np.isnan(example.depth).any()
        assert example.depth.min() > 0.0


def test_the_same_seed_gives_the_same_example(streets):
    first, again = streets[3], small(3)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.depth, again.depth)
    assert list(first.sensors) == list(again.sensors)
    for name, prompt in first.sensors.items():
        np.testing.assert_array_equal(prompt.depth, again.sensors[name].depth)


def test_a_monocular_example_is_a_small_whole_image_without_points():
    cameras = []
    for seed in range(8):
        example = simulate_example(seed, kind='clutter', monocular=True)
        cameras.append(example.camera)
        assert not example.sensors
        assert 0.9 * 160 * 128 < example.depth.size < 1.1 * 192 * 144
    # A window of a finer image would show less, and not its middle.
    assert all(camera.fov_x_deg > 20.0 for camera in cameras)
    assert all(abs(camera.K[0, 2] / camera.width - 0.5) < 0.1 for camera in cameras)


def test_validation_shares_no_view_with_training(streets):
    assert np.mean(streets[3].depth != small(3, 'validation').depth) > 0.5


def test_every_seed_is_another_example(streets):
    assert np.mean(streets[0].depth != streets[1].depth) > 0.5


def test_examples_come_in_the_order_of_their_seeds(streets):
    backward = simulate_examples([1, 0], kind='street', size=SIZE)
    for example, expected in zip(backward, streets[1::-1], strict=True):
        np.testing.assert_array_equal(example.depth, expected.depth)


def test_streets_carry_lidar_and_radar(streets):
    for example in streets:
        assert {'lidar', 'radar'} <= set(example.sensors)
    assert sum('solid_state' in e.sensors for e in streets) < len(streets)
    lidar, radar = (
        np.concatenate([e.sensors[name].source for e in streets]) for name in ('lidar', 'radar')
    )
    assert set(lidar) == {Source.LIDAR}
    assert set(radar) == {Source.RADAR}


def test_lidar_points_are_mostly_right_and_sometimes_behind(streets):
    ratios = []
    for example in streets:
        prompt = example.sensors['lidar']
        column, row = np.rint(prompt.uv).astype(int).T
        ratios.append(prompt.depth / example.depth[row, column])
    ratio = np.concatenate(ratios)
    assert np.median(np.abs(ratio - 1.0)) < 0.02
    assert 0.002 < np.mean(ratio > 1.2) < 0.15


def test_radar_returns_are_few_and_often_wrong(streets):
    ratios = []
    for example in streets:
        prompt = example.sensors['radar']
        assert len(prompt) <= 120
        column, row = np.rint(prompt.uv).astype(int).T
        ratios.append(prompt.depth / example.depth[row, column])
    ratio = np.concatenate(ratios)
    assert 0.15 < np.mean(np.abs(ratio - 1.0) < 0.1) < 0.8


def test_no_sensor_sits_in_a_wall():
    """A wall stands right behind the camera; the LiDAR on its mast does not look out of it."""
    world = wall_world((-1.1, -20.0, 20.0), (20.0, -20.0, 20.0))
    T_world_camera = OPTICAL.copy()
    T_world_camera[2, 3] = 1.5
    site = Site(world, 'street', camera_of(*SIZE, 80.0), T_world_camera, typical_m=20.0)
    for seed in range(5):
        prompt = measure_with_rig(site, np.random.default_rng(seed))['lidar']
        assert np.median(prompt.depth) > 2.0


def test_no_seed_of_one_split_has_the_random_numbers_of_another():
    def first(seed, split):
        return tuple(stream.random() for stream in _streams(seed, split))

    seeds = [n + 2**32 * high for n in range(3) for high in range(3)]
    drawn = [first(seed, split) for seed in seeds for split in ('train', 'validation')]
    assert len(set(drawn)) == len(drawn)
    assert drawn[0] == first(0, 'train')
