# SPDX-License-Identifier: Apache-2.0
"""Which blocks of voxels a depth image touches."""

import numpy as np
import pytest

pytest.importorskip('torch', exc_type=ImportError)

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.rigid import transform_from_quaternion
from metric_depth_ros.geometry.unprojection import depth_to_points
from metric_depth_ros.reconstruction.block_numbers import blocks_of, numbers_of
from metric_depth_ros.reconstruction.touched_blocks import touched_blocks

CAMERA = CameraModel.pinhole(642, 479, 500.0, 500.0, 320.0, 240.0)
PLACE = transform_from_quaternion([3.0, -2.0, 0.5], [0.1, 0.3, -0.2, 0.9])
VOXEL_M = 0.02
BLOCK_M = 8 * VOXEL_M


def relief():
    rows, columns = np.mgrid[:479, :642]
    return (3.0 + np.sin(columns / 90.0) + np.cos(rows / 70.0)).astype(np.float32)


def measured_at(where):
    depth = np.zeros((479, 642), np.float32)
    depth[where] = relief()[where]
    return depth


def blocks_measured(depth):
    points = depth_to_points(CAMERA, depth)[depth > 0.0].astype(np.float64)
    places = points @ PLACE[:3, :3].T + PLACE[:3, 3]
    return np.unique(numbers_of(np.floor(places / BLOCK_M).astype(np.int64)))


def touched(depth, truncation_voxels=4.0):
    return touched_blocks(depth, CAMERA, PLACE, VOXEL_M, truncation_voxels)


@pytest.mark.parametrize('where', [np.s_[1::6, 3::5], np.s_[478:, 641:], np.s_[:0]])
def test_pixels_that_are_measured_alone_touch_their_blocks(where):
    depth = measured_at(where)
    assert np.isin(blocks_measured(depth), touched(depth)).all()


@pytest.mark.parametrize('where', [np.s_[:], np.s_[1::6], np.s_[:, 3::7]])
def test_of_areas_and_lines_nearly_every_block_is_touched(where):
    depth = measured_at(where)
    assert np.isin(blocks_measured(depth), touched(depth)).mean() > 0.98


def test_nothing_is_touched_far_from_what_was_measured():
    depth = measured_at(np.s_[240:241, 320:321])
    corners_m = blocks_of(touched(depth)) * BLOCK_M
    point = depth_to_points(CAMERA, depth)[240, 320] @ PLACE[:3, :3].T + PLACE[:3, 3]
    nearest = np.clip(point, corners_m, corners_m + BLOCK_M)
    assert np.linalg.norm(nearest - point, axis=1).max() <= 4 * VOXEL_M + 1e-6


def test_a_long_truncation_leaves_no_block_out_between_its_ends():
    touching = blocks_of(touched(measured_at(np.s_[240:241, 320:321]), truncation_voxels=40.0))
    steps = np.linspace(-40.0, 40.0, 2001)[:, None] * VOXEL_M
    along = PLACE[:3, 3] + PLACE[:3, 2] * (relief()[240, 320] + steps)
    on_the_ray = np.unique(np.floor(along / BLOCK_M), axis=0)
    assert len(touching) > 0.7 * len(on_the_ray)


def test_nothing_behind_the_camera_is_touched():
    near = np.full((479, 642), 0.01, np.float32)
    assert len(touched(near)) < 10


def test_blocks_are_found_again_from_their_numbers(rng):
    blocks = rng.integers(-(1 << 20), 1 << 20, (1000, 3))
    np.testing.assert_array_equal(blocks_of(numbers_of(blocks)), blocks)
