# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms, and depth images lifted to points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.geometry.rigid import (
    checked_rigid,
    inverse,
    quaternion_from_matrix,
    transform_from_quaternion,
)
from metric_depth_ros.geometry.unprojection import depth_to_points, ray_slopes

CAMERA = CameraModel.pinhole(8, 6, 10.0, 12.0, 3.5, 2.5)
component = st.floats(-1.0, 1.0).filter(lambda x: abs(x) > 1e-3)


@given(xyzw=st.tuples(component, component, component, component))
def test_a_quaternion_survives_the_round_trip_up_to_sign(xyzw):
    expected = np.array(xyzw) / np.linalg.norm(xyzw)
    found = quaternion_from_matrix(transform_from_quaternion((1.0, 2.0, 3.0), xyzw))
    assert min(np.abs(found - expected).max(), np.abs(found + expected).max()) < 1e-9


@given(xyzw=st.tuples(component, component, component, component))
def test_inverse_undoes_a_transform(xyzw):
    T = transform_from_quaternion((4.0, -5.0, 6.0), xyzw)
    np.testing.assert_allclose(inverse(T) @ T, np.eye(4), atol=1e-12)


@pytest.mark.parametrize('xyzw', [(0.0, 0.0, 0.0, 0.0), (np.nan, 0.0, 0.0, 1.0)])
def test_a_quaternion_that_is_none_is_refused(xyzw):
    with pytest.raises(InputError, match='no rigid transform'):
        transform_from_quaternion((0.0, 0.0, 0.0), xyzw)


@pytest.mark.parametrize(
    ('matrix', 'words'),
    [
        (np.eye(2), 'shape'),
        ([[1, 0, 0], [0, 1]], 'no matrix'),
        ('odom', 'no matrix'),
        ([[10**400] * 4] * 4, 'no matrix'),
        (np.full((4, 4), np.nan), 'not finite'),
        (np.diag((2.0, 1.0, 1.0, 1.0)), 'not rigid'),
        (np.diag((1.0, 1.0, -1.0, 1.0)), 'not rigid'),
    ],
)
def test_a_matrix_that_is_not_rigid_is_refused_by_name(matrix, words):
    with pytest.raises(InputError, match=f'T_a_b .*{words}'):
        checked_rigid(matrix, 'T_a_b')


def test_depth_is_along_the_axis_and_not_along_the_ray():
    points = depth_to_points(CAMERA, np.full((6, 8), 2.0, np.float32))
    assert (points[..., 2] == 2.0).all()
    np.testing.assert_allclose(points[0, 0], ((0 - 3.5) / 5.0, (0 - 2.5) / 6.0, 2.0), rtol=1e-6)


@pytest.mark.parametrize('hole', [np.nan, np.inf, -np.inf])
def test_holes_become_points_of_nan(hole):
    depth = np.ones((6, 8), np.float32)
    depth[2, 3] = hole
    points = depth_to_points(CAMERA, depth)
    assert np.isnan(points[2, 3]).all()
    assert np.isfinite(points).sum() == 3 * 47


def test_a_distorted_camera_agrees_with_its_own_unproject():
    camera = CameraModel(8, 6, CAMERA.K, Distortion('plumb_bob', (-0.1, 0.0, 0.0, 0.0)))
    points = depth_to_points(camera, np.full((6, 8), 3.0, np.float32))
    expected = camera.unproject(np.array([7.0, 5.0]), np.array(3.0))
    np.testing.assert_allclose(points[5, 7], expected, rtol=1e-5)


def test_the_rays_of_a_robot_with_many_cameras_are_computed_once(monkeypatch):
    lens = Distortion('plumb_bob', (-0.11, 0.0, 0.0, 0.0))  # of no camera before
    cameras = [
        CameraModel(8, 6, np.array([[10.0 + i, 0, 3.5], [0, 12.0, 2.5], [0, 0, 1.0]]), lens)
        for i in range(64)
    ]
    of_depth = [camera.resized(6, 4) for camera in cameras]
    computed = []
    by_newton = CameraModel.pixel_to_normalized
    monkeypatch.setattr(
        CameraModel,
        'pixel_to_normalized',
        lambda camera, uv: computed.append(camera) or by_newton(camera, uv),
    )
    for _ in range(3):
        for camera, depth_camera in zip(cameras, of_depth, strict=True):
            ray_slopes(camera.resized(4, 3))  # as networks ask for them
            depth_to_points(depth_camera, np.ones((4, 6), np.float32))
            depth_to_points(camera, np.ones((6, 8), np.float32))
    assert len(computed) == len(set(computed)) == 3 * 64


def test_rays_cannot_be_changed_in_place():
    bent = CameraModel(8, 6, CAMERA.K, Distortion('plumb_bob', (-0.1, 0.0, 0.0, 0.0)))
    for camera in (CAMERA, bent):
        for slopes in ray_slopes(camera):
            with pytest.raises(ValueError, match='read-only'):
                slopes[0] = 0.0


def test_points_are_written_into_a_strided_buffer():
    buffer = np.zeros((6, 8, 8), np.float32)
    depth_to_points(CAMERA, np.ones((6, 8), np.float32), out=buffer[..., :3])
    assert (buffer[..., 2] == 1.0).all()
    assert (buffer[..., 3:] == 0.0).all()


def test_a_depth_image_of_another_size_is_refused():
    with pytest.raises(ValueError, match='8x5'):
        depth_to_points(CAMERA, np.ones((5, 8), np.float32))


def test_no_point_of_a_fisheye_lies_far_beyond_its_depth():
    camera = CameraModel(
        1280, 1024, np.array([[380.0, 0, 639.5], [0, 380.0, 511.5], [0, 0, 1.0]]),
        Distortion('equidistant', (0.02, -0.01, 0.004, -0.001)),
    )  # fmt: skip
    points = depth_to_points(camera, np.full((1024, 1280), 3.0, np.float32))
    assert 3.0 * 11.0 < np.nanmax(np.linalg.norm(points, axis=-1)) < 3.0 * 12.1


def test_a_pixel_that_no_ray_reaches_is_a_hole_in_an_image_of_one_row():
    camera = CameraModel(
        1000, 1, np.array([[300.0, 0, 499.5], [0, 300.0, 0], [0, 0, 1.0]]),
        Distortion('equidistant', (0.0,) * 4),
    )  # fmt: skip
    points = depth_to_points(camera, np.ones((1, 1000), np.float32))
    assert np.isnan(points[0, 0]).all()
    assert np.isfinite(points[0, 500]).all()
