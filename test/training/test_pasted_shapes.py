# SPDX-License-Identifier: Apache-2.0
"""Shapes to be pasted: where they are, how far, what they look like and what they darken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.training.pasted_looks import colors_of, laid_over, shadows_of
from metric_depth_ros.training.pasted_shapes import blobs, crowd, leaves

HEIGHT, WIDTH = 48, 64
DRAWN = (leaves, blobs, crowd)
seeds = st.integers(0, 2**32 - 1)


def _slope():
    """Return a floor that rises to the horizon, under a sky."""
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    depth = np.broadcast_to(30.0 / (rows - 9.0).clip(1e-3), (HEIGHT, WIDTH)).copy()
    depth[:10] = np.inf
    return depth


def _image(seed):
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.mark.parametrize('draw', DRAWN)
@given(seeds)
def test_every_label_has_a_center_and_a_depth_and_later_ones_are_nearer(draw, seed):
    shapes = draw(_slope(), np.random.default_rng(seed))

    assert shapes.labels.dtype == np.int32
    assert shapes.labels.min() >= 0
    assert shapes.labels.max() < len(shapes.centers) == len(shapes.inverse_depth)
    assert np.isfinite(shapes.inverse_depth).all()
    assert (shapes.inverse_depth > 0).all()
    assert (np.diff(shapes.inverse_depth) >= 0).all()


@given(seeds)
def test_a_crowd_stands_no_farther_than_the_ground_in_view(seed):
    depth = _slope()

    shapes = crowd(depth, np.random.default_rng(seed))

    farthest = depth[np.isfinite(depth)].max()
    assert (shapes.inverse_depth >= 1 / farthest * (1 - 1e-6)).all()


def test_the_crowd_is_nearer_where_its_feet_are_lower():
    places, depths = [], []
    for seed in range(20):
        shapes = crowd(_slope(), np.random.default_rng(seed))
        places += shapes.centers[1:, 1].tolist()
        depths += shapes.inverse_depth[1:].tolist()

    assert np.corrcoef(places, depths)[0, 1] > 0.5


@given(seeds)
def test_colors_are_finite_and_not_negative_for_any_shapes(seed):
    rng = np.random.default_rng(seed)
    shapes = DRAWN[seed % 3](_slope(), rng)

    colors = colors_of(shapes, _image(seed), rng)

    assert colors.shape == (HEIGHT, WIDTH, 3)
    assert np.isfinite(colors).all()
    assert (colors >= 0).all()


@given(seeds)
def test_a_shadow_takes_light_and_never_all_of_it(seed):
    rng = np.random.default_rng(seed)
    shapes = DRAWN[seed % 3](_slope(), rng)

    light = shadows_of(shapes.labels, shapes.labels < 0, rng)

    assert light.shape == (HEIGHT, WIDTH, 1)
    assert (light > 0.1).all()
    assert (light <= 1 + 1e-6).all()


def test_what_is_not_seen_casts_no_shadow():
    labels = np.zeros((HEIGHT, WIDTH), np.int32)
    labels[10:30, 20:40] = 1

    hidden = shadows_of(labels, labels > 0, np.random.default_rng(0))
    seen = shadows_of(labels, labels < 0, np.random.default_rng(0))

    np.testing.assert_array_equal(hidden, 1)
    assert (seen < 0.9).any()


def test_a_shadow_falls_beside_a_shape_and_not_on_its_middle():
    labels = np.zeros((HEIGHT, WIDTH), np.int32)
    labels[10:30, 20:40] = 1

    for seed in range(10):
        light = shadows_of(labels, labels < 0, np.random.default_rng(seed))[..., 0]
        assert light[20, 30] > light.min()


@pytest.mark.parametrize('blur_px', [0.0, 0.6, 1.5])
def test_the_border_of_a_shape_has_nothing_but_the_colors_on_both_sides(blur_px):
    image = np.full((40, 40, 3), 200, np.float32)
    colors = np.zeros_like(image)  # beside the shape: anything
    colors[10:30, 10:30] = 180.0
    opaque = np.zeros((40, 40), np.float32)
    opaque[10:30, 10:30] = 1.0

    seen = laid_over(image, colors, opaque, blur_px)

    assert seen.min() >= 180.0 - 1e-3
    assert seen.max() <= 200.0 + 1e-3
    assert seen[20, 20, 0] == pytest.approx(180.0, abs=0.1)
