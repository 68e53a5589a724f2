# SPDX-License-Identifier: Apache-2.0
"""The prompts that a network is shown in training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.simulation.scene import camera_of
from metric_depth_ros.simulation.sensors import patterns
from metric_depth_ros.simulation.sensors.policy import SHARES, draw_prompt
from metric_depth_ros.types import Source, SparsePrompt

SIZE = (96, 64)
WITHOUT_RIG = [name for name in SHARES if name not in ('lidar', 'solid_state', 'radar', 'none')]


def example(sensors=(), sky_rows=10):
    rng = np.random.default_rng(3)
    v, u = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float32)
    depth = 20.0 - 0.25 * v + 0.02 * u
    depth[20:50, 30:50] = 3.0
    depth[:sky_rows] = np.inf
    image = rng.integers(30, 220, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
    made = {name: patterns.scan_lines(depth, 8) for name in sensors}
    return Example(image, depth, camera_of(*SIZE, 80.0), 'street', made)


def draws(seen, count=40, **keywords):
    return [draw_prompt(seen, np.random.default_rng(s), **keywords) for s in range(count)]


def test_every_point_lies_in_the_image_with_a_positive_depth():
    for prompt in draws(example(['lidar', 'solid_state', 'radar']), 150):
        column, row = np.rint(prompt.uv).T
        assert ((column >= 0) & (column < SIZE[0]) & (row >= 0) & (row < SIZE[1])).all()
        assert (np.isfinite(prompt.depth) & (prompt.depth > 0.0)).all()
        assert (np.isfinite(prompt.sigma) & (prompt.sigma > 0.0)).all()


@pytest.mark.parametrize('name', WITHOUT_RIG)
def test_every_kind_can_be_asked_for(name):
    assert max(len(p) for p in draws(example(), 5, shares={name: 1.0})) >= 10


@pytest.mark.parametrize('name', WITHOUT_RIG)
def test_most_points_are_about_right(name):
    street = example()
    errors = []
    for prompt in draws(street, 10, shares={name: 1.0}):
        column, row = np.rint(prompt.uv).astype(int).T
        truth = street.depth[row, column]
        known = np.isfinite(truth)
        errors.append(np.abs(prompt.depth / truth - 1.0)[known])
    assert np.median(np.concatenate(errors)) < 0.08


def test_sensors_that_an_example_lacks_are_not_drawn():
    assert all(Source.RADAR not in p.source for p in draws(example(), 60))
    assert len(draws(example(), 1, shares={'radar': 1.0})[0]) == 0


def test_the_draws_differ():
    assert len({len(p) for p in draws(example())}) > 15


def test_densities_span_decades():
    counts = [len(p) for p in draws(example(), 100, shares={'random': 1.0})]
    assert min(counts) < 40
    assert max(counts) > 1000


def test_an_example_without_any_depth_has_an_empty_prompt():
    assert all(len(p) == 0 for p in draws(example(sky_rows=SIZE[1]), 10))


def test_sometimes_there_is_no_prompt():
    assert 0 < sum(len(p) == 0 for p in draws(example(), 300)) < 40


def test_hidden_points_are_removed_from_most_clouds_as_a_node_does():
    street = example()
    lidar = patterns.at_pixels(street.depth, np.flatnonzero(patterns.valid(street.depth)))
    # Every second point on the near box is seen past its edge: at the depth of what is behind.
    ghost = (lidar.depth == 3.0) & (np.arange(len(lidar)) % 7 == 0)
    depth = np.where(ghost, np.float32(15.0), lidar.depth)
    haunted = SparsePrompt(lidar.uv, depth, lidar.sigma, lidar.source)
    street = Example(street.image, street.depth, street.camera, street.kind, {'lidar': haunted})

    def ghosts(prompt):
        column, row = np.rint(prompt.uv).astype(int).T
        return np.sum(prompt.depth > 2.0 * street.depth[row, column])

    left = [ghosts(p) for p in draws(street, 30, shares={'lidar': 1.0})]
    assert np.sum(np.array(left) < 0.2 * ghost.sum()) > 5
    assert max(left) > 0.8 * ghost.sum()


@given(seed=st.integers(0, 10_000))
def test_any_depth_gives_a_prompt_that_estimators_take(seed):
    rng = np.random.default_rng(seed)
    given_depth = rng.choice((np.nan, np.inf, 0.0, 0.3, 5.0, 180.0), (24, 32)).astype(np.float32)
    image = rng.integers(0, 255, (24, 32, 3)).astype(np.uint8)
    few = patterns.random_points(given_depth, 3, rng)
    prompt = draw_prompt(
        Example(image, given_depth, camera_of(32, 24, 80.0), 'room', {'lidar': few}), rng
    )
    column, row = np.rint(prompt.uv).T
    assert ((column >= 0) & (column < 32) & (row >= 0) & (row < 24)).all()
    assert (np.isfinite(prompt.depth) & (prompt.depth > 0.0)).all()


def test_the_same_seed_draws_the_same_prompt():
    first, second = (draw_prompt(example(['lidar']), np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(first.uv, second.uv)
    np.testing.assert_array_equal(first.depth, second.depth)
