# SPDX-License-Identifier: Apache-2.0
"""Pasted shapes come in front of a view; image, depth and points of LiDARs follow."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import example, part_of, points

from metric_depth_ros.training.pasted import with_pasted_shapes
from metric_depth_ros.types import SparsePrompt

seeds = st.integers(0, 2**32 - 1)


def _pasted(view, seed):
    return with_pasted_shapes(view, np.random.default_rng(seed))


@given(seeds)
def test_shapes_only_bring_depth_nearer_and_never_behind_the_camera(seed):
    view = example(seed % 7)

    depth = _pasted(view, seed).depth

    assert depth.dtype == np.float32
    assert (depth <= view.depth).all()
    assert (depth >= 0.1 * (1 - 1e-6)).all()


@given(seeds)
def test_points_of_a_lidar_lie_on_what_the_image_shows(seed):
    view = example(seed % 7)
    exact = replace(view, sensors={'lidar': points(view.depth, np.random.default_rng(seed), 200)})

    seen = _pasted(exact, seed)

    column, row = seen.sensors['lidar'].uv.astype(int).T
    np.testing.assert_allclose(seen.sensors['lidar'].depth, seen.depth[row, column], rtol=1e-6)


def test_a_stopped_point_keeps_its_own_noise():
    view = example(3)
    lidar = points(view.depth, np.random.default_rng(0), 400)
    noisy = replace(lidar, depth=lidar.depth * np.float32(1.02))
    hit = 0
    for seed in range(10):
        seen = _pasted(replace(view, sensors={'lidar': noisy}), seed)
        column, row = noisy.uv.astype(int).T
        stopped = seen.depth[row, column] < view.depth[row, column]
        ratio = seen.sensors['lidar'].depth / seen.depth[row, column]
        np.testing.assert_allclose(ratio, 1.02, rtol=1e-5)
        hit += stopped.sum()
    assert hit > 50


def test_returns_of_a_radar_stay_because_they_have_no_height():
    view = example(2)
    radar = view.sensors['lidar']

    for seed in range(5):
        seen = _pasted(replace(view, sensors={'radar': radar}), seed)
        np.testing.assert_array_equal(seen.sensors['radar'].depth, radar.depth)


def test_most_views_change_in_image_where_they_change_in_depth():
    agree = []
    for seed in range(20):
        view = example(seed)
        seen = _pasted(view, seed)
        nearer = seen.depth < view.depth
        changed = (seen.image != view.image).any(axis=-1)
        if nearer.any():
            agree.append(changed[nearer].mean())

    assert len(agree) >= 15
    assert np.mean(agree) > 0.9


def test_pasting_follows_its_seed_and_leaves_its_input_alone():
    view = example(1)
    image, depth = view.image.copy(), view.depth.copy()

    once, again, other = (_pasted(view, seed) for seed in (4, 4, 5))

    np.testing.assert_array_equal(once.image, again.image)
    np.testing.assert_array_equal(once.depth, again.depth)
    assert not np.array_equal(once.depth, other.depth)
    np.testing.assert_array_equal(view.image, image)
    np.testing.assert_array_equal(view.depth, depth)


@pytest.mark.parametrize('size', [(1, 1), (2, 9), (40, 3)])
def test_an_image_of_any_size_is_pasted_over(size):
    small = replace(part_of(example(0), size), sensors={'lidar': SparsePrompt.empty()})

    for seed in range(12):
        assert _pasted(small, seed).depth.shape == size


def test_a_view_of_nothing_but_sky_stays_as_it_is():
    view = example(0)
    sky = replace(view, depth=np.full_like(view.depth, np.inf), sensors={})

    assert _pasted(sky, 1) is sky


def test_a_point_on_the_very_border_of_the_image_is_stopped_like_any_other():
    view = example(2)
    height, width = view.depth.shape
    border = replace(
        points(view.depth, np.random.default_rng(0), 2),
        uv=np.array(((width - 0.5, 3.0), (4.0, height - 0.5)), np.float32),
    )

    for seed in range(10):
        seen = _pasted(replace(view, sensors={'lidar': border}), seed)
        assert (seen.sensors['lidar'].depth <= border.depth).all()
