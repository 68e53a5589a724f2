# SPDX-License-Identifier: Apache-2.0
"""Focal length from point maps."""

import numpy as np
import pytest

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.focal import recover_camera, recover_focal


def point_map(width, height, focal, rng):
    camera = CameraModel.pinhole(
        width, height, focal, focal, 0.5 * (width - 1), 0.5 * (height - 1)
    )
    column, row = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    depth = 2.0 + 8.0 * rng.random((height, width))
    return camera.unproject(np.stack((column, row), -1), depth)


@pytest.mark.parametrize(('width', 'height', 'focal'), [(640, 480, 525.0), (200, 90, 60.0)])
def test_field_of_view_of_a_clean_pinhole_is_recovered(width, height, focal, rng):
    points = point_map(width, height, focal, rng).astype(np.float32)
    camera = recover_camera(points)
    true_fov_deg = np.degrees(2.0 * np.arctan(0.5 * width / focal))
    assert abs(camera.fov_x_deg - true_fov_deg) < 1e-3
    assert camera.K[0, 2] == 0.5 * (width - 1)


def test_scale_of_the_points_does_not_matter(rng):
    points = point_map(64, 48, 50.0, rng)
    assert recover_focal(7.0 * points).focal_px == pytest.approx(50.0, rel=1e-9)


@pytest.mark.parametrize('kind', ['uniform', 'too near'])
def test_a_fifth_of_outliers_moves_the_focal_length_by_less_than_one_percent(kind, rng):
    points = point_map(160, 120, 150.0, rng)
    bad = rng.random(points.shape[:2]) < 0.2
    if kind == 'uniform':
        points[bad] = rng.uniform((-5, -5, 0.5), (5, 5, 10), (bad.sum(), 3))
    else:
        points[bad, 2] *= 0.3
    assert recover_focal(points).focal_px == pytest.approx(150.0, rel=0.01)


@pytest.mark.parametrize('size', [(2000, 5), (1600, 4), (700, 2), (500, 1), (5, 2000)])
def test_focal_length_of_a_long_narrow_image_is_recovered(size, rng):
    focal = 0.8 * max(size)
    fit = recover_focal(point_map(*size, focal, rng))
    assert fit.focal_px == pytest.approx(focal, rel=1e-9)
    assert fit.points > 90


def test_points_that_are_not_finite_or_behind_the_camera_are_ignored(rng):
    points = point_map(64, 48, 50.0, rng)
    points[:10] = np.nan
    points[10:20, :, 2] *= -1.0
    points[20:22] = np.inf
    fit = recover_focal(points)
    assert fit.focal_px == pytest.approx(50.0, rel=1e-9)
    assert fit.points == 26 * 64


def test_masked_pixels_are_ignored(rng):
    points = point_map(64, 48, 50.0, rng)
    mask = np.zeros((48, 64), bool)
    mask[24:] = True
    points[:24] = rng.random((24, 64, 3))
    assert recover_focal(points, mask).focal_px == pytest.approx(50.0, rel=1e-9)


def test_residual_tells_points_of_no_pinhole(rng):
    points = point_map(64, 48, 50.0, rng)
    assert recover_focal(points).residual_px < 1e-6
    assert recover_focal(rng.random((48, 64, 3))).residual_px > 5.0


@pytest.mark.parametrize(
    'points',
    [np.full((4, 6, 3), np.nan), np.zeros((4, 6, 3)), np.full((4, 6, 3), [0.0, 0.0, 1.0])],
)
def test_points_that_cannot_tell_give_no_camera(points):
    assert np.isnan(recover_focal(points).focal_px)
    assert recover_camera(points) is None
