# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from metric_depth_ros.conformance.golden import Golden
from metric_depth_ros.conformance.run import run_golden
from metric_depth_ros.evaluation.completion_protocol import completion_metrics
from metric_depth_ros.evaluation.moge_protocol import (
    PointMap,
    fov_x_deg,
    moge_boundary_f1,
    moge_metrics,
)
from metric_depth_ros.evaluation.radar_protocol import radar_metrics


def test_omni_dc_without_ground_truth_is_zero() -> None:
    metrics = completion_metrics(np.ones((2, 2)), np.zeros((2, 2)))
    assert set(metrics.values()) == {0.0}


def test_omni_dc_takes_the_inverse_of_no_depth_as_zero() -> None:
    metrics = completion_metrics(np.zeros((1, 1)), np.full((1, 1), 2.0))
    assert metrics['imae'] == pytest.approx(0.5)


def test_radar_cap_is_exclusive() -> None:
    metrics = radar_metrics(np.ones((1, 1)), np.full((1, 1), 50.0), 50.0)
    assert all(math.isnan(value) for value in metrics.values())


def test_radar_prediction_of_zero_is_infinitely_wrong_in_inverse_depth() -> None:
    metrics = radar_metrics(np.zeros((1, 1)), np.full((1, 1), 5.0), 50.0)
    assert (metrics['mae_mm'], metrics['imae_per_km']) == (5000.0, math.inf)


def test_moge_figures_are_closer_to_the_authors_than_their_golden_asks(shared) -> None:
    """To the rounding of float32, but where the reference code stops short of the minimum."""
    for check in run_golden(Golden.open(shared / 'goldens/algorithms/metrics_moge')):
        limit = 1e-3 if check.quantity.startswith('points_affine') else 1e-5
        assert check.error <= limit, check


def test_ninety_degrees_is_a_focal_length_of_half_the_width() -> None:
    assert fov_x_deg(np.diag([0.5, 0.5, 1.0])) == pytest.approx(90.0)


def test_moge_scale_invariant_depth_ignores_scale(rng) -> None:
    depth = rng.uniform(1.0, 5.0, (70, 90))
    figures = moge_metrics(
        PointMap(2.0 * depth), PointMap(depth), np.ones_like(depth, bool), with_boundaries=False
    )
    assert figures['depth_metric']['rel'] == pytest.approx(1.0, rel=1e-4)
    assert figures['depth_scale_invariant']['rel'] == pytest.approx(0.0, abs=1e-9)


def test_moge_boundary_of_a_box_against_itself_is_one() -> None:
    box = np.full((16, 16), 2.0)
    box[4:12, 4:12] = 1.0
    assert moge_boundary_f1(box, box, np.ones_like(box, bool), 1) == pytest.approx(1.0)
