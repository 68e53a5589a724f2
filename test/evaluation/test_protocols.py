# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from metric_depth_ros.evaluation.completion_protocol import completion_metrics
from metric_depth_ros.evaluation.metrics import aggregate_per_image
from metric_depth_ros.evaluation.moge_protocol import (
    PointMap,
    fov_x_deg,
    moge_boundary_f1,
    moge_metrics,
)
from metric_depth_ros.evaluation.radar_protocol import CAPS_M, radar_metrics


@pytest.mark.parametrize(
    ('case', 'output'), [(f'case{i}', f'case{i}') for i in range(3)] + [('batch', 'batch_pooled')]
)
def test_omni_dc_is_reproduced(golden, case: str, output: str) -> None:
    inputs, outputs = golden('metrics_omnidc')
    metrics = completion_metrics(inputs[f'{case}_pred'], inputs[f'{case}_gt'])
    np.testing.assert_allclose(list(metrics.values()), outputs[output], rtol=2e-5)


def test_omni_dc_without_ground_truth_is_zero() -> None:
    metrics = completion_metrics(np.ones((2, 2)), np.zeros((2, 2)))
    assert set(metrics.values()) == {0.0}


def test_omni_dc_takes_the_inverse_of_no_depth_as_zero() -> None:
    metrics = completion_metrics(np.zeros((1, 1)), np.full((1, 1), 2.0))
    assert metrics['imae'] == pytest.approx(0.5)


@pytest.mark.parametrize('case', range(3))
def test_radar_figures_are_reproduced(golden, case: int) -> None:
    inputs, outputs = golden('metrics_radar')
    prediction, ground_truth = inputs[f'case{case}_pred'], inputs[f'case{case}_gt']
    values = [list(radar_metrics(prediction, ground_truth, cap).values()) for cap in CAPS_M]
    np.testing.assert_allclose(values, outputs[f'case{case}'], rtol=1e-5)


def test_radar_figures_of_a_data_set_are_the_mean_over_its_images(golden) -> None:
    inputs, outputs = golden('metrics_radar')
    for k, cap in enumerate(CAPS_M):
        images = [
            radar_metrics(inputs[f'case{i}_pred'], inputs[f'case{i}_gt'], cap) for i in range(3)
        ]
        mean = list(aggregate_per_image(images).values())
        np.testing.assert_allclose(mean, outputs['dataset_mean'][k], rtol=1e-5)


def test_radar_cap_is_exclusive() -> None:
    metrics = radar_metrics(np.ones((1, 1)), np.full((1, 1), 50.0), 50.0)
    assert all(math.isnan(value) for value in metrics.values())


def test_radar_prediction_of_zero_is_infinitely_wrong_in_inverse_depth() -> None:
    metrics = radar_metrics(np.zeros((1, 1)), np.full((1, 1), 5.0), 50.0)
    assert (metrics['mae_mm'], metrics['imae_per_km']) == (5000.0, math.inf)


@pytest.mark.parametrize('case', range(3))
def test_moge_is_reproduced(golden, case: int) -> None:
    inputs, outputs = golden('metrics_moge')
    prediction, ground_truth = (
        PointMap(*(inputs[f'case{case}_{side}_{name}'] for name in ('depth', 'points', 'K')))
        for side in ('pred', 'gt')
    )
    metrics = moge_metrics(prediction, ground_truth, inputs[f'case{case}_mask'])
    figures = {
        f'{group}.{name}': value
        for group, values in metrics.items()
        for name, value in values.items()
    }
    expected = {name: float(outputs[f'case{case}_{name}']) for name in figures}
    assert len(figures) == 19
    affine = [name for name in figures if name.startswith('points_affine')]
    for name in affine:  # the reference code stops short of the minimum
        assert figures.pop(name) == pytest.approx(expected.pop(name), rel=2e-3)
    assert figures == pytest.approx(expected, rel=1e-5, abs=1e-5)


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
