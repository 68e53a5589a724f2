# SPDX-License-Identifier: Apache-2.0
"""Sensor data becomes prompts, and prompts become maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.rigid import inverse, transform_from_quaternion
from metric_depth_ros.geometry.unprojection import depth_to_points
from metric_depth_ros.prompting.depth_image import (
    prompt_from_depth_image,
    prompt_from_registered_depth,
)
from metric_depth_ros.prompting.lidar import prompt_from_cloud, prompt_from_projected_cloud
from metric_depth_ros.prompting.low_resolution import prompt_from_low_resolution
from metric_depth_ros.types import Source, SparsePrompt

CAMERA = CameraModel.pinhole(64, 48, 60.0, 60.0, 31.5, 23.5)


def prompt_of(uv: list, depth: list) -> SparsePrompt:
    n = len(depth)
    return SparsePrompt(
        np.array(uv, np.float32).reshape(n, 2),
        np.array(depth, np.float32),
        np.full(n, 0.1, np.float32),
        np.zeros(n, np.uint8),
    )


def test_lidar_noise_grows_with_depth():
    xyz = np.array([[0.0, 0.0, 1.0], [5.0, 0.0, 40.0]])
    prompt = prompt_from_cloud(CAMERA, xyz, np.eye(4), sigma_m=0.03, sigma_rel=0.01)
    np.testing.assert_allclose(prompt.sigma, np.hypot(0.03, 0.01 * prompt.depth), rtol=1e-6)
    assert (prompt.source == Source.LIDAR).all()


def test_lidar_points_out_of_range_are_no_prompt():
    xyz = np.array([[0.0, 0.0, 0.05], [0.0, 0.2, 5.0], [0.0, 0.0, 300.0]])
    assert prompt_from_cloud(CAMERA, xyz, np.eye(4)).depth.tolist() == [5.0]


@given(st.lists(st.tuples(*(st.floats(-4.0, 4.0),) * 2, st.floats(2.0, 60.0)), min_size=1))
def test_a_cloud_that_somebody_projected_is_the_prompt_of_the_cloud_at_whole_pixels(points):
    whole = prompt_from_cloud(CAMERA, np.array(points), np.eye(4), remove_occluded=False)
    projected = whole.to_map(CAMERA.width, CAMERA.height)

    prompt = prompt_from_projected_cloud(projected, sigma_m=0.02, remove_occluded=False)

    np.testing.assert_array_equal(prompt.to_map(CAMERA.width, CAMERA.height), projected)
    assert sorted(prompt.sigma) == pytest.approx(sorted(whole.sigma))
    assert (prompt.source == Source.LIDAR).all()


@pytest.mark.parametrize(('remove_occluded', 'left'), [(True, 3), (False, 4)])
def test_a_projected_point_between_nearer_ones_is_hidden(remove_occluded, left):
    depth = np.full((48, 64), np.nan, np.float32)
    depth[[10, 12, 14], 20] = 4.0
    depth[13, 20] = 30.0

    prompt = prompt_from_projected_cloud(depth, remove_occluded=remove_occluded)

    assert len(prompt) == left
    assert prompt.depth.max() == (4.0 if remove_occluded else 30.0)


def test_holes_of_a_depth_image_are_no_prompt():
    depth = np.full((48, 64), np.nan, np.float32)
    depth[3, 5], depth[4, 6], depth[7, 8], depth[9, 9] = 1.5, np.inf, 0.0, -1.0
    prompt = prompt_from_registered_depth(depth)
    assert prompt.uv.tolist() == [[5.0, 3.0]]
    assert prompt.depth.tolist() == [1.5]


def test_zero_is_a_hole_also_where_that_is_the_nearest_depth():
    depth = np.array([[0.0, 1.0], [2.0, 0.0]], np.float32)
    assert len(prompt_from_registered_depth(depth, min_depth_m=0.0)) == 2
    assert len(prompt_from_low_resolution(8, 8, depth, min_depth_m=0.0)) == 2


def test_depth_camera_noise_grows_with_the_square_of_depth():
    depth = np.array([[1.0, 2.0, 4.0]], np.float32)
    prompt = prompt_from_registered_depth(depth, sigma_m_at_1m=0.003)
    np.testing.assert_allclose(prompt.sigma, [0.003, 0.012, 0.048], rtol=1e-6)


def test_an_unregistered_depth_image_lands_where_its_extrinsics_put_it():
    depth_camera = CameraModel.pinhole(32, 24, 28.0, 28.0, 15.5, 11.5)
    T_camera_depth = transform_from_quaternion((0.05, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    depth = np.full((24, 32), 2.0, np.float32)
    prompt = prompt_from_depth_image(CAMERA, depth, depth_camera, T_camera_depth)
    points = depth_to_points(depth_camera, depth).reshape(-1, 3) + (0.05, 0.0, 0.0)
    expected = CAMERA.project(points)
    inside = ((np.rint(expected) >= 0) & (np.rint(expected) < (64, 48))).all(axis=1)
    assert len(prompt) == inside.sum()
    np.testing.assert_allclose(prompt.uv, expected[inside], atol=1e-3)


def test_a_table_does_not_shine_through_what_is_held_half_a_meter_before_it():
    color = CameraModel.pinhole(640, 360, 450.0, 450.0, 319.5, 179.5)
    depth_camera = CameraModel.pinhole(320, 240, 190.0, 190.0, 159.5, 119.5)
    T_color_depth = np.eye(4)
    T_color_depth[0, 3] = 0.06
    depth = np.full((240, 320), 0.9, np.float32)
    depth[100:140, 140:180] = 0.5
    prompt = prompt_from_depth_image(color, depth, depth_camera, T_color_depth)
    near = prompt.uv[prompt.depth < 0.6]
    inside = np.all((prompt.uv > near.min(axis=0)) & (prompt.uv < near.max(axis=0)), axis=1)
    assert np.sum(inside) > 1000
    np.testing.assert_allclose(prompt.depth[inside], 0.5, rtol=1e-5)


def test_an_unregistered_depth_image_that_belongs_to_another_camera_info_is_refused():
    with pytest.raises(InputError, match='CameraInfo says 64x48'):
        prompt_from_depth_image(CAMERA, np.ones((24, 32), np.float32), CAMERA, np.eye(4))


def test_moving_a_depth_image_there_and_back_keeps_a_plane():
    T = transform_from_quaternion((0.1, 0.02, 0.0), (0.0, 0.02, 0.0, 1.0))
    plane = np.full((48, 64), 3.0, np.float32)
    there = prompt_from_depth_image(CAMERA, plane, CAMERA, T)
    points = CAMERA.unproject(there.uv, there.depth)
    back = prompt_from_cloud(CAMERA, points, inverse(T))
    np.testing.assert_allclose(back.depth, 3.0, rtol=1e-4)


def test_low_resolution_cells_sit_at_the_center_of_their_area():
    prompt = prompt_from_low_resolution(64, 48, np.array([[1.0, 2.0], [np.nan, 3.0]], np.float32))
    assert prompt.uv.tolist() == [[15.5, 11.5], [47.5, 11.5], [47.5, 35.5]]
    assert (prompt.source == Source.LOW_RESOLUTION).all()


def test_a_low_resolution_map_larger_than_the_image_is_refused():
    with pytest.raises(InputError, match='100x60, larger than the 64x48'):
        prompt_from_low_resolution(64, 48, np.ones((60, 100), np.float32))


def test_the_nearest_point_wins_in_a_map():
    depth_map = prompt_of([[2.2, 1.0], [1.8, 1.4]], [7.0, 4.0]).to_map(4, 3)
    assert depth_map[1, 2] == 4.0
    assert np.isnan(depth_map).sum() == 11


def test_merging_keeps_every_point_in_order():
    merged = SparsePrompt.merge([prompt_of([[0, 0]], [1.0]), prompt_of([[1, 1]], [2.0])])
    assert merged.depth.tolist() == [1.0, 2.0]
    assert len(SparsePrompt.merge([])) == 0


@given(count=st.integers(0, 60), keep=st.integers(0, 60))
def test_a_subsample_is_a_subset_without_repeats(count, keep):
    prompt = prompt_of([[i % 8, i // 8] for i in range(count)], list(range(1, count + 1)))
    sampled = prompt.subsample(keep, np.random.default_rng(0))
    assert len(sampled) == min(count, keep)
    assert len(np.unique(sampled.depth)) == len(sampled)


def test_arrays_of_different_lengths_are_no_prompt():
    with pytest.raises(ValueError, match='of one length'):
        SparsePrompt(
            np.zeros((2, 2), np.float32),
            np.ones(3, np.float32),
            np.ones(3, np.float32),
            np.zeros(3, np.uint8),
        )
