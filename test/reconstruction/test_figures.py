# SPDX-License-Identifier: Apache-2.0
"""Figures of reconstructions."""

import numpy as np
import pytest

from metric_depth_ros.reconstruction.figures import compare, f_score


def plane(width, height=0.0):
    x, y = np.meshgrid(np.arange(0.0, width, 0.005), np.arange(0.0, 1.0, 0.005))
    return np.stack((x, y, np.full_like(x, height)), -1).reshape(-1, 3).astype(np.float32)


def test_a_perfect_cloud_scores_one():
    assert f_score(plane(1.0), plane(1.0), 0.02).value == 1.0


def test_what_lies_beyond_the_distance_counts_neither_as_right_nor_as_found():
    score = f_score(plane(1.0, 0.05), plane(1.0), 0.02)
    assert (score.precision, score.recall, score.value) == (0.0, 0.0, 0.0)


def test_half_the_surface_is_half_the_recall():
    score = f_score(plane(0.5), plane(1.0), 0.02)
    assert score.precision == pytest.approx(1.0, abs=0.01)
    assert score.recall == pytest.approx(0.5, abs=0.03)


def test_nothing_scores_nothing():
    assert f_score(np.empty((0, 3), np.float32), plane(1.0), 0.02).value == 0.0


def test_coverage_counts_what_is_added_and_distance_only_what_both_have():
    found = compare(plane(2.0, 0.004), plane(1.0))
    assert found.coverage_ratio == pytest.approx(2.0, rel=0.05)
    assert found.median_m == pytest.approx(0.004, abs=1e-5)
    assert found.shared == 1.0
