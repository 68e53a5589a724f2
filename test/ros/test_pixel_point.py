# SPDX-License-Identifier: Apache-2.0
"""The point that is seen at a pixel: where it is, how sure it is, and when there is none."""

import math

import numpy as np
import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.uncertainty import point_covariance
from metric_depth_ros.ros.dense_depth import DenseDepth
from metric_depth_ros.ros.pixel_point import (
    in_frame,
    nearest_pixel,
    point_of_dense,
    point_of_estimator,
    relative_sigma,
)
from metric_depth_ros.ros.query_parameters import UncertaintySettings
from metric_depth_ros.types import Frame, SparsePrompt

WIDTH, HEIGHT = 64, 48
CAMERA = CameraModel.pinhole(WIDTH, HEIGHT, 50.0, 60.0, 31.5, 23.5)
SURE = UncertaintySettings(least_rel=0.01, pixel_px=1.0)


def dense(depth=5.0, confidence=1.0):
    field = np.full((HEIGHT, WIDTH), depth, np.float32)
    trust = None if confidence is None else np.full((HEIGHT, WIDTH), confidence, np.float32)
    return DenseDepth(7, 'optical', field, CAMERA, trust)


def fault(action):
    with pytest.raises(InputError) as caught:
        action()
    return caught.value.fault


def test_a_pixel_becomes_the_point_of_the_optical_frame_that_it_sees():
    found = point_of_dense(dense(), (41.5, 11.5), SURE, 'dense')
    np.testing.assert_allclose(found.point, (1.0, -1.0, 5.0), rtol=1e-9)
    assert (found.stamp_ns, found.frame_id, found.method) == (7, 'optical', 'dense')


def test_between_pixels_depth_is_of_the_nearest_one_and_the_ray_of_the_place():
    seen = dense()
    seen.depth[10, 20] = 8.0
    found = point_of_dense(seen, (20.4, 9.6), SURE, 'dense')
    assert found.point[2] == 8.0
    assert found.point[0] == pytest.approx(8.0 * (20.4 - 31.5) / 50.0)


def test_uncertainty_is_along_the_ray_where_the_pixel_is_certain():
    sure_of_pixel = UncertaintySettings(least_rel=0.1, pixel_px=0.0)
    found = point_of_dense(dense(), (60.0, 5.0), sure_of_pixel, 'dense')
    ray = found.point / np.linalg.norm(found.point)
    along = ray @ found.covariance @ ray
    assert math.sqrt(along) == pytest.approx(0.1 * np.linalg.norm(found.point))
    assert np.trace(found.covariance) == pytest.approx(along)


def test_covariance_is_that_of_points_thrown_at_random(rng):
    pixel, depth, sigma, sigma_px = (50.0, 40.0), 4.0, 0.05, 0.3
    uv = rng.normal(pixel, sigma_px, (200_000, 2))
    points = CAMERA.unproject(uv, rng.normal(depth, sigma, len(uv)))
    expected = np.cov(points.T)
    found = point_covariance(CAMERA, pixel, depth, sigma, sigma_px)
    np.testing.assert_allclose(found, expected, atol=0.02 * expected.max())


def test_at_an_edge_of_depth_the_point_is_as_unsure_as_the_edge_is_deep():
    seen = dense()
    seen.depth[:, 30:] = 9.0
    at_edge = point_of_dense(seen, (29.0, 20.0), SURE, 'dense')
    inside = point_of_dense(seen, (20.0, 20.0), SURE, 'dense')
    assert at_edge.sigma_depth > 2.0
    assert inside.sigma_depth == pytest.approx(0.05)


@pytest.mark.parametrize(
    ('depth', 'expected'),
    [(np.nan, 'depth_unknown'), (0.0, 'depth_unknown'), (np.inf, 'depth_beyond_range')],
)
def test_a_pixel_without_depth_is_refused_though_its_neighbors_have_one(depth, expected):
    seen = dense()
    seen.depth[20, 30] = depth
    assert fault(lambda: point_of_dense(seen, (30.0, 20.0), SURE, 'dense')) == expected


@pytest.mark.parametrize(
    'pixel', [(-1.0, 5.0), (63.6, 5.0), (5.0, 47.5), (5.0, 1e30), (math.nan, 5.0), (5.0, math.inf)]
)
def test_a_place_outside_of_the_image_is_refused(pixel):
    assert fault(lambda: point_of_dense(dense(), pixel, SURE, 'dense')) == 'pixel_outside'


def test_the_border_of_the_image_belongs_to_its_pixels():
    assert nearest_pixel((-0.5, 47.49), (WIDTH, HEIGHT)) == (0, 47)
    assert nearest_pixel((63.49, 0.0), (WIDTH, HEIGHT)) == (63, 0)


@pytest.mark.parametrize(
    ('meaning', 'confidence', 'expected'),
    [
        ('quadratic', 0.5, 0.1),
        ('quadratic', 0.2, 0.2),
        ('linear', 0.5, 0.1),
        ('linear', 0.2, 0.4),
        ('linear', 1.0, 0.0),
        ('linear', 0.0, 1.0),
        ('quadratic', math.nan, 1.0),
        ('none', 0.9, 0.15),
        ('quadratic', None, 0.15),
    ],
)
def test_confidence_stands_for_the_error_that_its_estimator_means(meaning, confidence, expected):
    settings = UncertaintySettings(confidence=meaning, half_confidence_error=0.1, least_rel=0.0)
    assert relative_sigma(confidence, settings) == pytest.approx(expected)


def test_another_frame_turns_the_covariance_with_the_point():
    found = point_of_dense(dense(), (60.0, 5.0), SURE, 'dense')
    transform = np.array([[0.0, 0.0, 1.0, 2.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 1.0],
                          [0.0, 0.0, 0.0, 1.0]])  # fmt: skip
    moved = in_frame(found, transform, 'base_link')
    x, y, z = found.point
    np.testing.assert_allclose(moved.point, (z + 2.0, -x, 1.0 - y))
    assert moved.covariance[0, 0] == pytest.approx(found.covariance[2, 2])
    assert moved.frame_id == 'base_link'


def test_an_estimator_that_is_dense_is_asked_once_and_looked_up():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    prompt = SparsePrompt(
        np.array([[3.0, 4.0]], np.float32),
        np.array([6.0], np.float32),
        np.array([0.1], np.float32),
        np.zeros(1, np.uint8),
    )
    frame = Frame(7, 'optical', image, CAMERA, prompt)
    found = point_of_estimator(create_estimator('nearest'), frame, (31.5, 23.5), SURE)
    np.testing.assert_allclose(found.point, (0.0, 0.0, 6.0))
    assert found.method == 'nearest'
    assert found.confidence == 0.0


def test_a_language_model_that_states_no_distance_gives_no_point(tmp_path):
    pytest.importorskip('transformers')
    from tiny_vlm import write_depthlm

    folder = write_depthlm(tmp_path / 'speechless', 'I cannot tell 3.5')
    options = EstimatorOptions(device='cpu', precision='fp32', weights=str(folder))
    estimator = create_estimator('depthlm', options)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    camera = CameraModel.pinhole(WIDTH, HEIGHT, 500.0, 500.0, 31.5, 23.5)
    frame = Frame(7, 'optical', image, camera)
    for pixel in ((30.0, 20.0), (1.0, 1.0)):  # the second: no room for the arrow
        refused = fault(lambda at=pixel: point_of_estimator(estimator, frame, at, SURE))
        assert refused == 'answer_unreadable'
