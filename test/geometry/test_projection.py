# SPDX-License-Identifier: Apache-2.0
"""Clouds into images: z-buffer, range limits, occlusion clean-up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.geometry.projection import hidden_points, project_cloud
from metric_depth_ros.geometry.rigid import transform_from_quaternion
from metric_depth_ros.geometry.unprojection import depth_to_points

CAMERA = CameraModel.pinhole(320, 200, 200.0, 200.0, 160.0, 100.0)
SAME_FRAME = np.eye(4)
K_640 = np.array([[500.0, 0.0, 319.5], [0.0, 500.0, 239.5], [0.0, 0.0, 1.0]])
OPTICAL_OF_LIDAR = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


def wall(depth: float, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Points at the given pixels, at one depth."""
    u, v = np.meshgrid(columns, rows)
    uv = np.stack((u, v), axis=-1).reshape(-1, 2).astype(np.float64)
    return CAMERA.unproject(uv, np.full(len(uv), depth)).astype(np.float32)


def test_points_land_where_the_camera_model_says(rng):
    xyz = rng.uniform((-5, -3, 1), (5, 3, 40), (500, 3))
    T = transform_from_quaternion((0.1, -0.2, 0.3), (0.01, 0.02, -0.01, 1.0))
    seen = project_cloud(CAMERA, xyz, T, remove_occluded=False)
    moved = xyz[seen.index] @ T[:3, :3].T + T[:3, 3]
    np.testing.assert_allclose(seen.uv, CAMERA.project(moved), atol=1e-3)
    np.testing.assert_allclose(seen.depth, moved[:, 2], rtol=1e-5)


def test_the_nearest_point_of_a_pixel_wins():
    xyz = np.array([[0.0, 0.0, 9.0], [0.0, 0.0, 4.0], [0.0, 0.0, 6.0]])
    seen = project_cloud(CAMERA, xyz, SAME_FRAME)
    assert seen.index.tolist() == [1]


def test_equal_points_at_a_pixel_are_kept_once():
    seen = project_cloud(CAMERA, np.full((5, 3), (1.0, 1.0, 5.0)), SAME_FRAME)
    assert len(seen.depth) == 1


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_points_that_are_not_finite_are_dropped(bad):
    xyz = np.array([[0.0, 0.0, 5.0], [bad, 0.0, 5.0], [0.0, bad, 5.0], [0.0, 0.0, bad]])
    seen = project_cloud(CAMERA, xyz, SAME_FRAME)
    assert seen.index.tolist() == [0]


def test_an_empty_cloud_gives_an_empty_projection():
    seen = project_cloud(CAMERA, np.empty((0, 3), np.float32), SAME_FRAME)
    assert seen.uv.shape == (0, 2)


def test_depth_limits_are_kept():
    xyz = np.array([[0.0, 0.0, 0.5], [0.2, 0.0, 5.0], [0.4, 0.0, 50.0]])
    seen = project_cloud(CAMERA, xyz, SAME_FRAME, min_depth_m=1.0, max_depth_m=20.0)
    assert seen.index.tolist() == [1]


def test_a_ghost_between_the_scan_lines_of_a_near_surface_is_removed():
    near = wall(5.0, np.arange(100, 200, 3), np.arange(60, 140, 8))
    ghost = wall(30.0, np.array([151]), np.array([104]))
    seen = project_cloud(CAMERA, np.concatenate((near, ghost)), SAME_FRAME)
    assert len(near) not in seen.index
    assert len(seen.index) == len(near)


def test_background_more_than_a_point_spacing_beside_a_near_surface_is_kept():
    near = wall(5.0, np.arange(100, 200, 3), np.arange(60, 140, 8))
    beside = wall(30.0, np.arange(208, 260, 3), np.arange(60, 140, 8))
    seen = project_cloud(CAMERA, np.concatenate((near, beside)), SAME_FRAME)
    assert len(seen.index) == len(near) + len(beside)


def test_a_slanted_ground_hides_nothing_of_itself():
    rows = np.arange(110, 200, 6)
    ground = np.concatenate([wall(160.0 / (r - 100.0), np.arange(0, 320, 2), [r]) for r in rows])
    seen = project_cloud(CAMERA, ground, SAME_FRAME)
    assert len(seen.index) == len(ground)


def test_a_distorted_camera_sees_no_ghosts_from_far_off_axis(rng):
    camera = CameraModel(320, 200, CAMERA.K, Distortion('plumb_bob', (-0.35, 0.0, 0.0, 0.0)))
    angle = np.radians(rng.uniform(60.0, 85.0, 500))
    xyz = np.stack((np.sin(angle), np.zeros(500), np.cos(angle)), axis=-1) * 10.0
    assert len(project_cloud(camera, xyz, SAME_FRAME).depth) == 0


def test_a_lens_nearly_without_distortion_sees_no_ghosts_from_far_off_axis(rng):
    # Folded beyond 85 degrees, where these rays would land in the middle of the image.
    camera = CameraModel(640, 480, K_640, Distortion('plumb_bob', (-0.002, 0.0, 0.0, 0.0)))
    angle = np.radians(rng.uniform(85.5, 89.5, 500))
    xyz = np.stack((np.sin(angle), np.zeros(500), np.cos(angle)), axis=-1) * 10.0
    assert len(project_cloud(camera, xyz, SAME_FRAME).depth) == 0


@pytest.mark.parametrize('turn_deg', [0.0, 90.0, 180.0, 270.0])
def test_ghosts_are_found_however_the_camera_is_turned(turn_deg):
    # Between scan lines 24 pixels apart.
    near = wall(5.0, np.arange(100, 200, 2), np.arange(10, 190, 24))
    ghosts = wall(30.0, np.arange(121, 180, 6), np.array([70, 94, 118]))
    xyz = np.concatenate((near, ghosts)) @ OPTICAL_OF_LIDAR
    turn = np.radians(turn_deg)
    T_camera_lidar = np.eye(4)
    T_camera_lidar[:3, :3] = (
        np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        @ OPTICAL_OF_LIDAR
    )
    camera = CameraModel.pinhole(320, 320, 200.0, 200.0, 160.0, 160.0)
    seen = project_cloud(camera, xyz, T_camera_lidar)
    assert sorted(seen.index) == list(range(len(near)))


def test_a_depth_image_projects_back_onto_its_own_pixels(rng):
    camera = CameraModel(
        64,
        48,
        [[50.0, 0, 31.0], [0, 52.0, 24.0], [0, 0, 1]],
        Distortion('plumb_bob', (-0.1, 0.01, 0.001, 0.0)),
    )
    depth = rng.uniform(3.0, 3.2, (48, 64)).astype(np.float32)
    seen = project_cloud(camera, depth_to_points(camera, depth).reshape(-1, 3), SAME_FRAME)
    assert len(seen.depth) == depth.size
    column, row = np.rint(seen.uv).astype(int).T
    np.testing.assert_allclose(seen.depth, depth[row, column], rtol=1e-5)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 400), scale=st.floats(0.1, 100.0))
def test_every_projected_point_is_inside_the_image_and_alone_in_its_pixel(seed, count, scale):
    xyz = np.random.default_rng(seed).normal(0.0, scale, (count, 3))
    seen = project_cloud(CAMERA, xyz, SAME_FRAME)
    column, row = np.rint(seen.uv).astype(int).T
    assert ((column >= 0) & (column < 320) & (row >= 0) & (row < 200)).all()
    assert len(np.unique(row * 320 + column)) == len(seen.depth)
    assert (seen.depth > 0).all()


def test_points_of_an_image_that_shine_through_a_nearer_surface_are_found():
    rows, columns = np.mgrid[2:38:4, 2:58:2]
    near = np.stack((columns.ravel(), rows.ravel()), axis=1).astype(np.float32)
    ghosts = np.array([[20.0, 16.0], [30.0, 24.0]], np.float32)
    beside = np.array([[20.0, 39.0]], np.float32)  # nearer points above it only
    uv = np.concatenate((near, ghosts, beside))
    depth = np.concatenate((np.full(len(near), 4.0), [20.0, 30.0], [20.0])).astype(np.float32)

    hidden = hidden_points(uv, depth, 60)

    assert np.flatnonzero(hidden).tolist() == [len(near), len(near) + 1]
    assert hidden_points(uv[:0], depth[:0], 60).shape == (0,)


def test_points_beside_a_nearer_one_of_their_own_row_are_not_hidden():
    # A pole on one scan line, before a wall that the lines above and below see as well.
    rows, columns = np.mgrid[10:30:8, 4:57:2]
    uv = np.stack((columns.ravel(), rows.ravel()), axis=1).astype(np.float32)
    depth = np.full(len(uv), 20.0, np.float32)
    depth[(uv[:, 0] == 30) & (uv[:, 1] == 18)] = 4.0

    assert not hidden_points(uv, depth, 60).any()


@pytest.mark.parametrize('width', [400, 4000])
def test_a_ghost_among_few_points_is_found_at_any_width(width):
    rows, columns = np.mgrid[10:190:20, 10 : width - 10 : width // 8]
    near = np.stack((columns.ravel(), rows.ravel()), axis=1).astype(np.float32)
    ghost = np.array([[width // 2, 100]], np.float32)
    uv = np.concatenate((near, ghost))
    depth = np.append(np.full(len(near), 4.0), 20.0).astype(np.float32)

    assert np.flatnonzero(hidden_points(uv, depth, width)).tolist() == [len(near)]
