# SPDX-License-Identifier: Apache-2.0
"""Views through another camera at the same place: planes stay planes, the axis is central."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.geometry.unprojection import depth_to_points
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.turned_views import through, turn_to, turned_view
from metric_depth_ros.types import CameraModel

WIDTH, HEIGHT = 120, 90
OFF_CENTER = CameraModel.pinhole(WIDTH, HEIGHT, 100.0, 105.0, 70.0, 38.0)


def plane(camera=OFF_CENTER, normal=(0.2, -0.4, 1.0), distance=5.0):
    """Return an example of a plane whose image tells every pixel's place."""
    v, u = np.mgrid[: camera.height, : camera.width].astype(np.float64)
    slopes = camera.pixel_to_normalized(np.stack((u, v), axis=-1))
    rays = np.concatenate((slopes, np.ones_like(slopes[..., :1])), axis=-1)
    unit = np.array(normal) / np.linalg.norm(normal)
    depth = (distance / (rays @ unit)).astype(np.float32)
    image = np.stack((2 * u, 2 * v, np.zeros_like(u)), axis=-1).astype(np.uint8)
    return Example(image, depth, camera, 'room')


def plane_through(points):
    """Return the distance and the unit normal of the plane through points, and the worst error."""
    known = points.reshape(-1, 3).astype(np.float64)
    known = known[np.isfinite(known).all(axis=1)]
    scaled, *_ = np.linalg.lstsq(known, np.ones(len(known)), rcond=None)
    length = np.linalg.norm(scaled)
    return 1.0 / length, scaled / length, np.abs(known @ scaled - 1.0).max()


@given(st.integers(0, 10_000), st.sampled_from([(60, 40), (40, 64), (200, 150)]))
def test_a_plane_stays_one_at_its_distance_and_the_axis_is_in_the_middle(seed, size):
    seen = turned_view(plane(), size, np.random.default_rng(seed))
    distance, _, error = plane_through(depth_to_points(seen.camera, seen.depth))
    assert seen.depth.shape == size[::-1]
    assert np.isfinite(seen.depth).all()
    assert distance == pytest.approx(5.0, rel=1e-4)
    assert error < 1e-4
    K = seen.camera.K
    assert K[0, 0] == K[1, 1]
    np.testing.assert_allclose(K[:2, 2], [(size[0] - 1) / 2, (size[1] - 1) / 2])


def test_a_turned_camera_sees_the_turned_plane():
    turn = turn_to(OFF_CENTER, np.array((30.0, 60.0)))
    camera = CameraModel.pinhole(41, 31, 120.0, 120.0, 20.0, 15.0)
    seen = through(plane(), camera, turn)
    _, normal, _ = plane_through(depth_to_points(camera, seen.depth))
    unit = np.array((0.2, -0.4, 1.0)) / np.linalg.norm((0.2, -0.4, 1.0))
    np.testing.assert_allclose(normal, turn @ unit, atol=1e-4)


def test_the_pixel_that_is_turned_to_is_in_the_middle():
    pixel = np.array((30.0, 60.0))
    turn = turn_to(OFF_CENTER, pixel)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    ray = np.append(OFF_CENTER.pixel_to_normalized(pixel), 1.0)
    np.testing.assert_allclose((turn @ ray)[:2], 0.0, atol=1e-12)
    camera = CameraModel.pinhole(41, 31, 120.0, 120.0, 20.0, 15.0)
    np.testing.assert_allclose(through(plane(), camera, turn).image[15, 20, :2], 2 * pixel, atol=1)


@pytest.mark.parametrize('seed', range(5))
def test_the_image_goes_with_the_depth(seed):
    whole = plane()
    seen = turned_view(whole, (60, 40), np.random.default_rng(seed), mirror=False)
    # The place that a pixel's color tells is as far from the camera as its depth says.
    column, row = np.moveaxis(seen.image[..., :2] / 2.0, -1, 0)
    ranges = np.linalg.norm(depth_to_points(whole.camera, whole.depth), axis=-1)
    told = ranges[np.rint(row).astype(int), np.rint(column).astype(int)]
    own = np.linalg.norm(depth_to_points(seen.camera, seen.depth), axis=-1)
    np.testing.assert_allclose(own, told, rtol=0.03)


def test_a_lens_is_taken_out():
    lens = Distortion('plumb_bob', (-0.2, 0.05, 0.0, 0.0, 0.0))
    bent = plane(CameraModel(WIDTH, HEIGHT, OFF_CENTER.K, lens))
    seen = turned_view(bent, (60, 40), np.random.default_rng(2))
    assert seen.camera.distortion.is_identity
    distance, _, error = plane_through(depth_to_points(seen.camera, seen.depth))
    assert np.isfinite(seen.depth).mean() > 0.99
    assert distance == pytest.approx(5.0, rel=1e-3)
    assert error < 1e-3


def test_a_fisheye_that_sees_behind_itself_becomes_a_wide_view_at_most():
    K = np.array(((25.0, 0.0, 59.5), (0.0, 25.0, 44.5), (0.0, 0.0, 1.0)))
    fisheye = CameraModel(WIDTH, HEIGHT, K, Distortion('equidistant', (0.0, 0.0, 0.0, 0.0)))
    seen = turned_view(plane(fisheye, normal=(0.0, 0.0, 1.0)), (60, 40), np.random.default_rng(0))
    assert 90.0 < seen.camera.fov_x_deg < 131.0


def test_no_depth_is_between_two_surfaces():
    example = plane(normal=(0.0, 0.0, 1.0))
    example.depth[:, 60:] = 2.0
    turn = turn_to(OFF_CENTER, np.array((50.0, 40.0)))
    camera = CameraModel.pinhole(41, 31, 120.0, 120.0, 20.0, 15.0)
    seen = through(example, camera, turn)
    before = depth_to_points(camera, seen.depth) @ turn
    z, count = np.unique(before[..., 2].round(3), return_counts=True)
    np.testing.assert_array_equal(z, np.float32((2.0, 5.0)))
    assert count.min() > 100


@pytest.mark.parametrize('value', [np.inf, np.nan])
def test_what_has_no_depth_keeps_none(value):
    example = plane()
    example.depth[: HEIGHT // 2] = value
    seen = turned_view(example, (60, 40), np.random.default_rng(3))
    rest = np.isfinite(seen.depth)
    assert 0.2 < rest.mean() < 0.8
    np.testing.assert_array_equal(np.unique(seen.depth[~rest]), [value])
    distance, *_ = plane_through(depth_to_points(seen.camera, seen.depth))
    assert distance == pytest.approx(5.0, rel=1e-2)


def test_a_small_example_is_enlarged_and_a_large_one_is_not():
    small = turned_view(plane(), (400, 300), np.random.default_rng(0))
    assert small.camera.K[0, 0] > 3.0 * OFF_CENTER.K[0, 0]
    for seed in range(10):
        large = turned_view(plane(), (60, 45), np.random.default_rng(seed))
        assert large.camera.K[0, 0] <= 105.0
