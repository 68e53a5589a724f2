# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from metric_depth_ros.evaluation.boundary import boundary_f1, boundary_recall


def step(column: int = 8, size: int = 16) -> np.ndarray:
    depth = np.full((size, size), 1.0, np.float32)
    depth[:, column:] = 2.0
    return depth


def test_a_single_step_scores_a_quarter_against_itself() -> None:
    assert boundary_f1(step(), step()).f1 == pytest.approx(0.25)


def test_contours_in_all_four_directions_score_one_against_themselves() -> None:
    box = np.full((16, 16), 2.0, np.float32)
    box[4:12, 4:12] = 1.0
    assert boundary_f1(box, box).f1 == pytest.approx(1.0)


def test_two_directions_score_a_half() -> None:
    bar = np.full((16, 16), 2.0, np.float32)
    bar[:, 6:10] = 1.0
    assert boundary_f1(bar, bar).f1 == pytest.approx(0.5)


def test_a_constant_pair_scores_zero() -> None:
    flat = np.ones((8, 8), np.float32)
    assert boundary_f1(flat, flat).f1 == 0.0


def test_one_pixel_has_no_contour() -> None:
    pixel = np.ones((1, 1), np.float32)
    assert boundary_f1(pixel, pixel).f1 == 0.0


def test_scale_does_not_matter() -> None:
    assert boundary_f1(3.0 * step(), step()).f1 == boundary_f1(step(), step()).f1


def test_a_step_one_pixel_off_scores_zero() -> None:
    assert boundary_f1(step(9), step(8)).f1 == 0.0


def test_shuffled_columns_lower_the_score(rng) -> None:
    box = np.full((32, 32), 2.0, np.float32)
    box[8:24, 8:24] = 1.0
    shuffled = box[:, rng.permutation(32)]
    assert boundary_f1(shuffled, box).f1 < boundary_f1(box, box).f1


def test_the_mask_drops_the_edges_of_holes() -> None:
    ground_truth = step()
    ground_truth[4:8, 2:5] = 0.0
    known = ground_truth > 0.0
    assert boundary_f1(step(), ground_truth).f1 < 0.25
    assert boundary_f1(step(), ground_truth, known).f1 == pytest.approx(0.25)


def test_a_prediction_that_is_nan_makes_no_contour() -> None:
    score = boundary_f1(np.full((16, 16), np.nan, np.float32), step())
    assert score.f1 == 0.0
    assert score.counts[:, :, 1].sum() == 0


def test_recall_without_any_edge_is_zero() -> None:
    assert boundary_recall(step(), np.zeros((16, 16), np.float32))[0] == 0.0


def test_recall_thins_a_run_to_its_steepest_step() -> None:
    ramp = np.tile(np.array([1.0, 1.0, 1.5, 3.0, 3.0], np.float32), (4, 1))
    edge_at_steepest = np.tile(np.array([1.0, 1.0, 1.0, 0.0, 0.0], np.float32), (4, 1))
    edge_before = np.tile(np.array([1.0, 1.0, 0.0, 0.0, 0.0], np.float32), (4, 1))
    assert boundary_recall(ramp, edge_at_steepest)[0] == pytest.approx(0.25)
    assert boundary_recall(ramp, edge_before)[0] == 0.0
