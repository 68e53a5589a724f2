# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from metric_depth_ros.evaluation.metrics import (
    METRIC_NAMES,
    Aggregation,
    ErrorSums,
    aggregate,
    aggregate_per_image,
    depth_metrics,
    error_sums,
)


def depth(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def test_a_perfect_prediction_has_no_error_and_only_inliers() -> None:
    d = depth(1.0, 2.0, 30.0)
    metrics = depth_metrics(d, d)
    assert [metrics[k] for k in ('delta1', 'delta2', 'delta3')] == [1.0, 1.0, 1.0]
    assert all(metrics[k] == 0.0 for k in METRIC_NAMES if not k.startswith('delta'))


@pytest.mark.parametrize(
    ('ratio', 'delta1'), [(1.2499, 1.0), (1.25, 0.0), (0.8, 0.0), (0.8001, 1.0)]
)
def test_delta1_excludes_its_limit(ratio: float, delta1: float) -> None:
    d = depth(1.0, 2.0)
    assert depth_metrics(d * np.float32(ratio), d)['delta1'] == delta1


def test_figures_follow_their_definitions() -> None:
    metrics = depth_metrics(depth(2.0, 3.0), depth(1.0, 4.0))
    g = np.log([2.0, 0.75])
    assert metrics['abs_rel'] == pytest.approx((1.0 + 0.25) / 2)
    assert metrics['mae_m'] == pytest.approx(1.0)
    assert metrics['rmse_m'] == pytest.approx(1.0)
    assert metrics['sq_rel'] == pytest.approx((1.0 + 0.25) / 2)
    assert metrics['log10'] == pytest.approx(np.abs(g / math.log(10)).mean())
    assert metrics['rmse_log'] == pytest.approx(math.sqrt((g**2).mean()))
    assert metrics['silog'] == pytest.approx(math.sqrt((g**2).mean() - 0.5 * g.mean() ** 2))


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 0.0, -1.0])
def test_an_unusable_prediction_counts_as_a_failure_and_is_not_left_out(bad: float) -> None:
    sums = error_sums(depth(bad, 2.0), depth(2.0, 2.0))
    metrics = sums.metrics()
    assert (sums.pixels, sums.failures) == (2, 1)
    assert metrics['delta3'] == 0.5
    assert metrics['abs_rel'] == pytest.approx(0.5, abs=1e-3)
    assert metrics['mae_m'] == pytest.approx(1.0, abs=1e-3)
    assert all(math.isfinite(value) for value in metrics.values())


def test_a_prediction_as_far_as_numbers_go_is_an_error_without_a_warning(recwarn) -> None:
    metrics = depth_metrics(depth(3e38), depth(1e-2))
    assert (metrics['delta3'], len(recwarn)) == (0.0, 0)
    assert metrics['mae_m'] == pytest.approx(3e38, rel=1e-3)


def test_a_failure_is_no_inlier_even_of_ground_truth_as_near_as_its_stand_in() -> None:
    assert depth_metrics(depth(np.nan), depth(1e-3))['delta1'] == 0.0


def test_pixels_without_ground_truth_do_not_count() -> None:
    ground_truth = depth(2.0, np.nan, 0.0, -1.0, np.inf)
    assert error_sums(depth(2.0, 9.0, 9.0, 9.0, 9.0), ground_truth).pixels == 1


def test_no_ground_truth_at_all_gives_nan() -> None:
    metrics = depth_metrics(depth(1.0), depth(np.nan))
    assert set(metrics) == set(METRIC_NAMES)
    assert all(math.isnan(value) for value in metrics.values())


def test_one_pixel_is_enough() -> None:
    assert depth_metrics(depth(1.1), depth(1.0))['abs_rel'] == pytest.approx(0.1)


def test_maps_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r'\(1, 1\) but ground truth is \(1, 2\)'):
        error_sums(depth(1.0), depth(1.0, 1.0))


def test_pooled_and_per_image_rmse_differ() -> None:
    images = [
        error_sums(depth(2.0), depth(1.0)),
        error_sums(depth(4.0, 4.0, 4.0), depth(1.0, 1.0, 1.0)),
    ]
    assert aggregate(images, Aggregation.PER_IMAGE)['rmse_m'] == pytest.approx(2.0)
    assert aggregate(images, Aggregation.POOLED)['rmse_m'] == pytest.approx(math.sqrt(28 / 4))


def test_per_sample_weighs_samples_alike() -> None:
    one, two = (error_sums(depth(p), depth(1.0)) for p in (1.1, 1.4))
    by_sample = aggregate([one, two, two], Aggregation.PER_SAMPLE, ['a', 'b', 'b'])
    assert by_sample['abs_rel'] == pytest.approx(0.25)


def test_per_sample_needs_to_know_the_samples() -> None:
    with pytest.raises(ValueError, match='sample of every image'):
        aggregate([ErrorSums()], Aggregation.PER_SAMPLE)


def test_images_without_ground_truth_are_skipped_in_the_mean() -> None:
    images = [error_sums(depth(1.2), depth(1.0)), error_sums(depth(1.0), depth(np.nan))]
    assert aggregate(images, Aggregation.PER_IMAGE)['abs_rel'] == pytest.approx(0.2)
    assert all(math.isnan(v) for v in aggregate(images[1:], Aggregation.PER_IMAGE).values())


def test_mean_over_images_of_nothing_is_nan() -> None:
    assert math.isnan(aggregate_per_image([])['abs_rel'])
