# SPDX-License-Identifier: Apache-2.0
"""MoGe's figures where its own code ends in an error: nothing valid, or nothing predicted."""

import math

import numpy as np
import pytest

from metric_depth_ros.evaluation.moge_protocol import PointMap, moge_metrics

K = np.diag([0.5, 0.5, 1.0])


@pytest.fixture
def truth(rng):
    depth = rng.uniform(1.0, 5.0, (70, 90))
    return PointMap(depth, np.stack((0.1 * depth, 0.2 * depth, depth), axis=-1), K)


def figures_of(prediction, truth, mask):
    figures = moge_metrics(prediction, truth, mask)
    assert figures.pop('fov_x') == {'mae': 0.0, 'deviation': 0.0}
    return figures


def test_without_a_valid_pixel_the_figures_are_nan(truth):
    figures = figures_of(truth, truth, np.zeros((70, 90), bool))
    assert len(figures) == 8
    assert all(math.isnan(v) for values in figures.values() for v in values.values())


def test_one_valid_pixel_is_enough(truth):
    mask = np.zeros((70, 90), bool)
    mask[3, 4] = True
    figures = figures_of(truth, truth, mask)
    del figures['boundary']  # of pairs
    for values in figures.values():
        assert values == {'rel': pytest.approx(0.0, abs=1e-12), 'delta1': 1.0}


@pytest.mark.parametrize('value', [math.nan, 0.0, -2.0, math.inf])
def test_what_is_not_predicted_is_a_failure_and_moves_no_alignment(truth, value):
    depth, points = 2.0 * truth.depth, 2.0 * truth.points
    depth[:14] = value
    points[:14] = math.nan
    figures = figures_of(PointMap(depth, points, K), truth, np.ones((70, 90), bool))
    for name, expected in {
        'depth_metric': 0.0,
        'depth_scale_invariant': 0.8,
        'depth_affine_invariant': 0.8,
        'disparity_affine_invariant': 0.8,
        'points_scale_invariant': 0.8,
        'points_affine_invariant': 0.8,
    }.items():
        assert figures[name]['delta1'] == pytest.approx(expected), name
    for name in ('depth_scale_invariant', 'points_scale_invariant'):
        assert figures[name]['rel'] == pytest.approx(0.2, abs=2e-3)


def test_a_prediction_of_nothing_fails_everywhere(truth):
    nothing = PointMap(np.full((70, 90), math.nan), np.full((70, 90, 3), math.nan), K)
    figures = figures_of(nothing, truth, np.ones((70, 90), bool))
    assert set(figures.pop('boundary').values()) == {0.0}
    for values in figures.values():
        assert values == {'rel': pytest.approx(1.0, abs=2e-3), 'delta1': 0.0}


@pytest.mark.parametrize('side', [1, 4, 6])
def test_boundaries_of_a_map_that_is_smaller_than_the_neighborhood_are_nan(side):
    depth = np.linspace(1.0, 2.0, side * 9).reshape(side, 9)
    small = PointMap(depth)
    figures = moge_metrics(small, small, np.ones(depth.shape, bool))
    assert math.isnan(figures['boundary']['radius3_f1'])
    assert figures['depth_metric'] == {'rel': 0.0, 'delta1': 1.0}
