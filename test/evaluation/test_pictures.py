# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from metric_depth_ros.evaluation.pictures import (
    UNKNOWN_COLOR,
    cloud_picture,
    colorize_depth,
    depth_range,
    error_map,
    fit,
    overlay_prompt,
    side_by_side,
)
from metric_depth_ros.evaluation.result_pictures import result_pictures
from metric_depth_ros.types import CameraModel, DepthEstimate, Frame, SparsePrompt

CAMERA = CameraModel.pinhole(64, 48, 50.0, 50.0, 31.5, 23.5)


def one_point(u: float, v: float, depth: float) -> SparsePrompt:
    return SparsePrompt(
        np.array([[u, v]], np.float32),
        np.array([depth], np.float32),
        np.array([0.1], np.float32),
        np.zeros(1, np.uint8),
    )


def test_near_is_red_and_far_is_blue() -> None:
    near, far = colorize_depth(np.array([[1.0, 9.0]], np.float32), (1.0, 9.0))[0]
    assert near[0] > near[2]
    assert far[2] > far[0]


def test_beyond_range_is_colored_as_far_and_unknown_is_gray() -> None:
    depth = np.array([[9.0, np.inf, np.nan, -1.0]], np.float32)
    picture = colorize_depth(depth, (1.0, 9.0))[0].tolist()
    assert picture[1] == picture[0]
    assert picture[2] == picture[3] == list(UNKNOWN_COLOR)


def test_the_range_of_nothing_is_still_a_range() -> None:
    near, far = depth_range(np.full((2, 2), np.nan, np.float32))
    assert 0.0 < near < far


def test_one_far_outlier_does_not_wash_out_the_colors(true_depth) -> None:
    true_depth[0, 0] = 1e4
    assert depth_range(true_depth) == (2.0, 4.0)


def test_a_prompt_point_is_drawn_as_a_dot_on_the_darkened_image() -> None:
    image = np.full((20, 20, 3), 200, np.uint8)
    picture = overlay_prompt(image, one_point(10, 5, 2.0), (1.0, 4.0), radius_px=2)
    assert picture[0, 0].tolist() == [90, 90, 90]
    drawn = (picture != 90).any(axis=2)
    assert drawn[5, 8:13].all()
    assert drawn.sum() == pytest.approx(17, abs=8)


def test_errors_go_from_blue_to_red_and_failures_are_white(true_depth) -> None:
    prediction = true_depth.copy()
    prediction[0, 0] *= 1.5
    prediction[0, 1] = np.nan
    true_depth[0, 2] = np.nan
    picture = error_map(prediction, true_depth)
    assert picture[0, 0, 0] > picture[0, 0, 2]
    assert picture[0, 1].tolist() == [255, 255, 255]
    assert picture[0, 2].tolist() == list(UNKNOWN_COLOR)
    assert picture[5, 5].tolist() == error_map(true_depth, true_depth)[5, 5].tolist()


def test_growing_sparse_errors_hides_none(true_depth) -> None:
    sparse = np.full_like(true_depth, np.nan)
    sparse[10, 10:12] = 4.0
    prediction = np.full_like(true_depth, 4.0)
    prediction[10, 11] = 8.0
    grown = error_map(prediction, sparse, radius_px=2)
    assert grown[10, 10].tolist() == grown[10, 11].tolist()  # the worst of the two


def test_a_cloud_is_painted_with_the_colors_of_the_image(true_depth) -> None:
    image = np.full((48, 64, 3), (10, 200, 30), np.uint8)
    picture = cloud_picture(CAMERA, true_depth, image, (80, 60))
    painted = (picture == (10, 200, 30)).all(axis=2)
    assert picture.shape == (60, 80, 3)
    assert painted.mean() > 0.2


def test_a_cloud_of_nothing_is_an_empty_picture(true_depth) -> None:
    image = np.full((48, 64, 3), 255, np.uint8)
    picture = cloud_picture(CAMERA, np.full_like(true_depth, np.nan), image, (80, 60))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 1


def test_a_picture_is_fitted_with_its_proportions() -> None:
    assert fit(np.zeros((100, 50, 3), np.uint8), 40, 40).shape == (40, 20, 3)


def test_pictures_of_several_sizes_share_a_sheet() -> None:
    pictures = [np.zeros((10, 20, 3), np.uint8), np.zeros((20, 10, 3), np.uint8)] * 2
    assert side_by_side(pictures[:3], columns=2, gap_px=4).shape == (44, 44, 3)


def test_a_result_is_shown_with_all_that_is_known(true_depth, rng) -> None:
    image = rng.integers(0, 255, (48, 64, 3), np.uint8)
    frame = Frame(0, 'camera', image, CAMERA, one_point(3, 4, 2.0))
    estimate = DepthEstimate(true_depth, np.ones_like(true_depth), CAMERA)
    captions = list(result_pictures(frame, estimate, true_depth, with_confidence=True))
    assert [c.split(',')[0] for c in captions] == [
        'image',
        'prompt',
        'depth',
        'confidence',
        'ground truth',
        'relative error',
        'cloud',
    ]


def test_a_result_without_camera_prompt_and_truth_still_is_shown(true_depth) -> None:
    frame = Frame(0, 'camera', np.zeros((48, 64, 3), np.uint8))
    captions = list(result_pictures(frame, DepthEstimate(true_depth)))
    assert [c.split(',')[0] for c in captions] == ['image', 'depth']
