# SPDX-License-Identifier: Apache-2.0
"""Paint changes what a view looks like, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import example, part_of

from metric_depth_ros.training.painted import with_paint

seeds = st.integers(0, 2**32 - 1)


def _painted(view, seed):
    return with_paint(view, np.random.default_rng(seed))


@given(seeds)
def test_paint_leaves_depth_and_points_as_they_are(seed):
    view = example(seed % 7)
    depth = view.depth.copy()

    seen = _painted(view, seed)

    np.testing.assert_array_equal(seen.depth, depth)
    assert seen.sensors is view.sensors
    assert seen.image.dtype == np.uint8
    assert seen.image.shape == view.image.shape


def test_most_painted_views_have_edges_where_depth_has_none():
    sharper = []
    for seed in range(30):
        view = example(seed)
        plain, wall = np.full_like(view.image, 120), np.full_like(view.depth, 5)
        image = _painted(replace(view, image=plain, depth=wall), seed).image.astype(float)
        sharper.append(np.abs(np.diff(image, axis=1)).max() > 20)

    assert np.mean(sharper) > 0.6


def test_no_shape_is_painted_on_the_sky():
    view = example(0)
    half = view.depth.shape[0] // 2
    depth = np.full_like(view.depth, 8.0)
    depth[:half] = np.inf
    plain = replace(view, image=np.full_like(view.image, 120), depth=depth)
    touched = 0
    for seed in range(40):
        change = np.abs(_painted(plain, seed).image.astype(int) - 120).max(axis=-1)
        sky, ground = change[: half - 6], change[half:]
        if np.median(ground) == 0 and ground.max() > 30:  # shapes without grain
            touched += 1
            assert sky.max() == 0
    assert touched >= 3


def test_painting_follows_its_seed_and_leaves_its_input_alone():
    view = example(1)
    image = view.image.copy()

    once, again, other = (_painted(view, seed) for seed in (4, 4, 6))

    np.testing.assert_array_equal(once.image, again.image)
    assert not np.array_equal(once.image, other.image)
    np.testing.assert_array_equal(view.image, image)


@pytest.mark.parametrize('size', [(1, 1), (2, 9), (40, 3)])
def test_an_image_of_any_size_is_painted(size):
    small = part_of(example(0), size)

    for seed in range(12):
        assert _painted(small, seed).image.shape == (*size, 3)


def test_a_view_of_nothing_but_sky_is_not_painted():
    view = example(0)
    sky = replace(view, depth=np.full_like(view.depth, np.inf), sensors={})

    assert _painted(sky, 1) is sky
