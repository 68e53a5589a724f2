# SPDX-License-Identifier: Apache-2.0
"""The image from beside the place that the depth is of."""

import numpy as np
import pytest

from metric_depth_ros.training.parallax import seen_from_beside

SIZE = 96, 128
SEEDS = range(12)
RED, BLUE = (255, 0, 0), (0, 0, 255)
SQUARE = np.s_[36:60, 48:80]
AREA_PX = 24 * 32


def red_square(behind_m):
    """Return image and depth of a square 2 m away before a blue wall or the sky."""
    image = np.full((*SIZE, 3), BLUE, np.uint8)
    depth = np.full(SIZE, behind_m, np.float32)
    image[SQUARE], depth[SQUARE] = RED, 2.0
    return image, depth


def center_of(image):
    return np.argwhere(image[..., 0] > 127).mean(axis=0)


@pytest.mark.parametrize('behind_m', [40.0, np.inf])
def test_a_near_thing_stands_elsewhere_and_is_as_large(behind_m):
    image, depth = red_square(behind_m)
    moved = [seen_from_beside(image, depth, np.random.default_rng(seed)) for seed in SEEDS]
    away_px = [np.abs(center_of(other) - center_of(image)).max() for other in moved]
    assert max(away_px) > 2.0
    assert all(np.isclose((other[..., 0] > 127).sum(), AREA_PX, rtol=0.2) for other in moved)


def test_what_was_hidden_is_painted_like_what_is_behind():
    image, depth = red_square(40.0)
    for seed in SEEDS:
        moved = seen_from_beside(image, depth, np.random.default_rng(seed))
        assert np.all(moved[..., 2] + moved[..., 0].astype(int) >= 250), 'no third color'
        red = moved[..., 0] > 127
        rows, columns = np.nonzero(red)
        box = red[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert box.mean() > 0.9, 'one square, not a square and what it left behind'


@pytest.mark.parametrize('seed', SEEDS)
def test_far_things_stay(seed, rng):
    image, depth = red_square(2000.0)
    texture = rng.integers(0, 200, (12, 16, 1), np.uint8).repeat(8, 0).repeat(8, 1)
    image[..., 1:2] = texture
    moved = seen_from_beside(image, depth, np.random.default_rng(seed))
    away = np.ones(SIZE, bool)
    away[20:76, 24:104] = False
    off = np.abs(moved.astype(int) - image)[away]
    assert np.mean(off) < 1.0


def test_the_same_stream_gives_the_same_image():
    image, depth = red_square(40.0)
    first, second = (seen_from_beside(image, depth, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)
