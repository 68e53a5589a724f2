# SPDX-License-Identifier: Apache-2.0
"""Images are restyled and moved at random, reproducibly."""

import numpy as np
import pytest

from metric_depth_ros.training.views import misregistered, restyled


def _step_image() -> np.ndarray:
    image = np.full((40, 60, 3), 60, np.uint8)
    image[:, 30:] = (180, 150, 90)
    return image


def test_restyling_follows_its_seed():
    once, again, other = (restyled(_step_image(), np.random.default_rng(n)) for n in (1, 1, 2))

    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


@pytest.mark.parametrize('level', [0, 255])
def test_restyling_a_flat_image_leaves_levels_of_an_image(level):
    changed = restyled(np.full((16, 16, 3), level, np.uint8), np.random.default_rng(3))

    assert changed.shape == (16, 16, 3)
    assert changed.dtype == np.uint8


def test_an_edge_of_the_image_stays_an_edge():
    changes = [restyled(_step_image(), np.random.default_rng(seed)) for seed in range(20)]
    across = [np.abs(np.diff(c.astype(int), axis=1)).sum(axis=(0, 2)) for c in changes]

    assert np.mean([27 <= steps.argmax() <= 32 for steps in across]) > 0.8


@pytest.mark.parametrize('size', [(1, 1), (2, 5), (33, 3)])
def test_an_image_of_any_size_is_restyled(size):
    image = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(*size, 3)

    for seed in range(8):
        assert restyled(image, np.random.default_rng(seed)).shape == image.shape


def test_a_misregistered_image_is_off_by_some_pixels():
    columns = []
    for seed in range(200):
        moved = misregistered(_step_image(), np.random.default_rng(seed))
        columns.append(np.abs(np.diff(moved.astype(int), axis=1)).sum(axis=(0, 2)).argmax() - 29)

    assert abs(np.mean(columns)) < 0.5
    assert 0.8 < np.std(columns) < 3.0
    assert np.abs(columns).max() <= 10


@pytest.mark.parametrize('size', [(1, 1), (2, 5), (33, 3)])
def test_an_image_of_any_size_is_misregistered(size):
    image = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(*size, 3)

    for seed in range(8):
        assert misregistered(image, np.random.default_rng(seed)).shape == image.shape
