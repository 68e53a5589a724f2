# SPDX-License-Identifier: Apache-2.0
"""Depth maps follow the edges of their image and are otherwise left alone."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric_depth_ros.estimators.learned.edge_alignment import aligned_with_edges

HEIGHT, WIDTH, EDGE = 48, 64, 33


def _image() -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    image[:, EDGE:] = 200
    return image


def _steps(field: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(field, axis=1)).mean(axis=0)


@pytest.mark.parametrize('factor', [1, 2, 4])
def test_a_blurred_edge_becomes_the_one_of_the_image(factor):
    true = np.where(np.arange(WIDTH) < EDGE, 1.0, 0.2).astype(np.float32)
    sharp = np.tile(true, (HEIGHT, 1))
    size = WIDTH // factor, HEIGHT // factor
    coarse = cv2.resize(cv2.GaussianBlur(sharp, (0, 0), 1.0), size, interpolation=cv2.INTER_AREA)
    plain = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)

    aligned = aligned_with_edges(coarse, _image())

    assert _steps(aligned).argmax() == EDGE - 1
    assert _steps(aligned).max() > 1.5 * _steps(plain).max()
    assert np.abs(aligned - sharp).mean() < 0.95 * np.abs(plain - sharp).mean()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 90), st.integers(1, 90))
def test_any_size_stays_within_the_limits_of_the_field(h, w, height, width):
    rng = np.random.default_rng(h * w)
    field = rng.uniform(0.1, 2.0, (h, w)).astype(np.float32)
    image = rng.integers(0, 256, (max(h, height), max(w, width), 3), np.uint8)

    aligned = aligned_with_edges(field, image)

    assert aligned.shape == image.shape[:2]
    assert aligned.dtype == np.float32
    assert aligned.min() >= field.min() * (1 - 1e-5)
    assert aligned.max() <= field.max() * (1 + 1e-5)


@pytest.mark.parametrize('size', [(WIDTH, HEIGHT), (WIDTH // 2, HEIGHT // 2)])
def test_a_slope_in_a_plain_image_keeps_its_place(size):
    ramp = np.tile(np.linspace(0.0, 1.0, WIDTH, dtype=np.float32), (HEIGHT, 1))
    field = cv2.resize(ramp, size, interpolation=cv2.INTER_AREA)

    aligned = aligned_with_edges(field, np.full((HEIGHT, WIDTH, 3), 90, np.uint8))

    inside = np.s_[6:-6, 6:-6]
    np.testing.assert_allclose(aligned[inside], ramp[inside], atol=2e-3)
