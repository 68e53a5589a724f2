# SPDX-License-Identifier: Apache-2.0
"""Floating pixels, clouds of cubes, and fisheye images as those of a pinhole."""

import cv2
import numpy as np
import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.geometry.edges import floating_pixels
from metric_depth_ros.geometry.rectification import Rectification
from metric_depth_ros.geometry.voxels import voxel_firsts, voxel_means

FISHEYE = CameraModel(
    160,
    120,
    np.array([[50.0, 0.0, 79.5], [0.0, 50.0, 59.5], [0.0, 0.0, 1.0]]),
    Distortion('equidistant', (0.02, -0.01, 0.003, -0.001)),
)


def edge(*between):
    """Return rows with an object at 1 m, the values between, and a wall at 3 m."""
    row = np.concatenate((np.full(10, 1.0), between, np.full(10, 3.0)))
    return np.tile(row, (8, 1)).astype(np.float32)


def test_a_sharp_edge_keeps_all_its_pixels():
    assert not floating_pixels(edge()).any()


@pytest.mark.parametrize('turned', [False, True])
@pytest.mark.parametrize('between', [[2.0], [1.4, 2.0, 2.6], [np.nan, 2.0], [2.0, np.inf]])
def test_what_floats_between_two_surfaces_is_found(between, turned):
    depth = edge(*between)
    found = floating_pixels(depth.T).T if turned else floating_pixels(depth)
    expected = np.zeros(depth.shape, bool)
    expected[:, 10 : 10 + len(between)] = np.isfinite(between)
    np.testing.assert_array_equal(found, expected)


def test_a_slanted_floor_does_not_float():
    rows = np.arange(20, 240)
    depth = np.tile((1.2 * 500.0 / rows)[:, None], (1, 30)).astype(np.float32)
    assert floating_pixels(depth)[15:].sum() == 0  # up to 17 m, at 500 px and 1.2 m height


def test_measurements_that_stand_alone_stay():
    depth = np.full((20, 20), np.nan, np.float32)
    depth[::4, ::4] = np.random.default_rng(0).uniform(1, 9, (5, 5))
    assert not floating_pixels(depth).any()


def test_cubes_have_the_mean_of_their_points():
    points = np.array([[0.01, 0.01, 0.01], [0.03, 0.01, 0.01], [0.51, 0.0, 0.0]], np.float32)
    means = voxel_means(points, 0.05)
    means = means[np.argsort(means[:, 0])]
    np.testing.assert_allclose(means, [[0.02, 0.01, 0.01], [0.51, 0.0, 0.0]], atol=1e-6)


def test_organized_clouds_lose_their_holes():
    points = np.full((4, 5, 3), np.nan, np.float32)
    points[1, 2] = (1.0, -2.0, 3.0)
    np.testing.assert_allclose(voxel_means(points, 0.1), [[1.0, -2.0, 3.0]])


def test_the_first_point_of_every_cube_is_chosen():
    points = np.array([[0.01, 0, 0], [0.02, 0, 0], [0.11, 0, 0], [-0.01, 0, 0]], np.float32)
    assert voxel_firsts(points, 0.1).tolist() == [0, 2, 3]
    assert voxel_firsts(points[:0], 0.1).tolist() == []


def test_a_cloud_without_points_stays_one():
    assert voxel_means(np.full((3, 3), np.nan, np.float32), 0.1).shape == (0, 3)


def test_cubes_are_those_of_open3d():
    open3d = pytest.importorskip('open3d', reason='open3d is not installed')
    points = np.random.default_rng(0).uniform(-3, 3, (5000, 3)).astype(np.float32)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    low = np.floor(points.min(axis=0) / 0.25) * 0.25  # the same grid: Open3D's begins at a corner
    theirs, _, _ = cloud.voxel_down_sample_and_trace(0.25, low, points.max(axis=0) + 1.0)
    ours = voxel_means(points, 0.25)
    theirs = np.asarray(theirs.points)
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(
        ours[np.lexsort(ours.round(3).T)], theirs[np.lexsort(theirs.round(3).T)], atol=1e-5
    )


def painted(camera, value_of_ray):
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = camera.pixel_to_normalized(np.stack((columns, rows), -1).astype(np.float64))
    return value_of_ray(rays)


def test_a_fisheye_image_is_that_of_the_pinhole():
    def shade(rays):
        level = 120.0 + 50.0 * np.sin(3.0 * rays[..., 0]) + 40.0 * np.cos(3.0 * rays[..., 1])
        return np.nan_to_num(level).astype(np.uint8)[..., None].repeat(3, axis=-1)

    rectification = Rectification(FISHEYE, 90.0)
    image = rectification.image(painted(FISHEYE, shade))
    expected = painted(rectification.pinhole, shade)
    assert np.percentile(np.abs(image.astype(int) - expected), 95) <= 4
    assert rectification.pinhole.fov_x_deg == pytest.approx(90.0)


def test_without_a_field_of_view_the_pinhole_is_p():
    P = np.array([[60.0, 0, 80, 0], [0, 60, 60, 0], [0, 0, 1, 0]])
    camera = CameraModel(160, 120, FISHEYE.K, FISHEYE.distortion, P=P)
    np.testing.assert_array_equal(Rectification(camera).pinhole.K, P[:, :3])


def test_depth_keeps_its_values_and_holes():
    depth = np.full((120, 160), 2.5, np.float32)
    depth[:, :60] = np.nan
    out = Rectification(FISHEYE, 90.0).depth(depth)
    assert set(np.unique(out[np.isfinite(out)])) == {np.float32(2.5)}
    assert np.isnan(out).any()
    assert np.isfinite(out).any()


def test_a_pixel_of_the_pinhole_is_taken_from_where_the_lens_sees_its_ray():
    rectification = Rectification(FISHEYE, 100.0)
    places = np.stack(np.meshgrid(np.arange(160), np.arange(120)), axis=-1).astype(np.float32)
    taken = np.stack([rectification.depth(places[..., axis]) for axis in (0, 1)], axis=-1)
    K = rectification.pinhole.K
    rays = np.dstack(((places - K[:2, 2]) / (K[0, 0], K[1, 1]), np.ones((120, 160))))
    seen, _ = cv2.fisheye.projectPoints(
        *(rays.reshape(-1, 1, 3), np.zeros(3), np.zeros(3)),
        *(FISHEYE.K, np.array(FISHEYE.distortion.coefficients)),
    )
    seen = seen.reshape(120, 160, 2)
    inside = ((seen >= 0.0) & (seen <= (159.0, 119.0))).all(axis=-1)
    assert inside.mean() > 0.9
    assert np.abs(taken - seen)[inside].max() < 0.51  # the nearest pixel


@pytest.mark.parametrize(('width', 'height'), [(32_767, 2), (2, 32_768)])
def test_an_image_with_a_side_too_long_to_rectify_is_refused(width, height):
    camera = CameraModel(width, height, FISHEYE.K, FISHEYE.distortion)
    with pytest.raises(InputError, match=f'{width}x{height}.*at most 32766 pixels') as caught:
        Rectification(camera)
    assert caught.value.fault == 'camera_size'


def test_an_image_with_the_longest_sides_is_rectified():
    camera = CameraModel(32_766, 2, FISHEYE.K, FISHEYE.distortion)
    assert Rectification(camera).image(np.zeros((2, 32_766, 3), np.uint8)).shape == (2, 32_766, 3)


@pytest.mark.parametrize('far_m', [-2e5, 2e5, -1e20, -3e38, 3e38])
def test_a_point_far_out_on_either_side_costs_no_other(far_m, rng):
    points = rng.uniform(-5, 5, (2000, 3)).astype(np.float32)
    far = np.array([[far_m, 0.0, 1.0]], np.float32)
    plain = voxel_means(points, 0.05)
    assert len(voxel_means(np.vstack((points, far)), 0.05)) == len(plain)


def test_a_row_far_out_is_not_among_the_first_of_the_cubes(rng):
    points = rng.uniform(-5, 5, (2000, 3)).astype(np.float32)
    far = np.array([[-1e20, 0.0, 1.0]], np.float32)
    rows = voxel_firsts(np.vstack((far, points)), 0.05)
    np.testing.assert_array_equal(rows, 1 + voxel_firsts(points, 0.05))


def test_points_that_are_all_far_from_each_other_have_no_cubes():
    points = 1e9 * np.eye(3, dtype=np.float32)
    assert voxel_means(points, 0.05).shape == (0, 3)
    assert voxel_firsts(points, 0.05).tolist() == []


def test_cubes_far_from_the_origin_are_told_apart():
    points = np.array([[5e5, 0, 0], [5e5 + 1, 0, 0], [5e5 + 1, 0, 0.01]], np.float32)
    assert len(voxel_means(points, 0.05)) == 2
