# SPDX-License-Identifier: Apache-2.0
"""Sampling patterns over dense depth, against the published sampler where it can be had."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.conformance.golden import Golden
from metric_depth_ros.simulation.sensors import patterns
from metric_depth_ros.types import Source


@pytest.fixture
def published(shared):
    """Return what reads a case of the published sampler: depth, and what it made of it."""
    golden = Golden.open(shared / 'goldens/algorithms/sparse_sampler')
    truths = {case['name']: case.get('gt') for case in golden.config['cases']}

    def read(name):
        depth = golden.inputs[f'gt_{truths[name]}']
        return np.where(depth > 1e-4, depth, np.float32(np.nan)), golden.expected(name)

    return read


def smooth_depth(height=48, width=64):
    v, u = np.mgrid[:height, :width].astype(np.float32)
    return 2.0 + 0.02 * u + 0.01 * v


def with_sky(depth, rows=12):
    depth = depth.copy()
    depth[:rows] = np.inf
    depth[-1] = np.nan
    return depth


def pixels(prompt):
    column, row = prompt.uv.astype(int).T
    return row, column


@given(count=st.integers(0, 4000), seed=st.integers(0, 9))
def test_random_points_are_different_valid_pixels_with_their_depth(count, seed):
    depth = with_sky(smooth_depth())
    prompt = patterns.random_points(depth, count, np.random.default_rng(seed))
    row, column = pixels(prompt)
    assert len(prompt) == min(count, 35 * 64)
    assert len(np.unique(row * 64 + column)) == len(prompt)
    np.testing.assert_array_equal(prompt.depth, depth[row, column])


def test_a_grid_has_one_point_a_cell():
    prompt = patterns.grid(smooth_depth(), 8)
    assert len(prompt) == 6 * 8
    assert set(prompt.source) == {Source.LOW_RESOLUTION}


@pytest.mark.parametrize('corners_aligned', [True, False])
def test_a_grid_of_a_plane_is_right_to_half_a_cell(corners_aligned):
    depth = smooth_depth()
    prompt = patterns.grid(depth, 8, corners_aligned)
    error = np.abs(prompt.depth - depth[pixels(prompt)])
    assert error.max() < 8 * 0.03


@pytest.mark.parametrize('corners_aligned', [True, False])
def test_a_grid_has_no_point_in_the_sky_and_none_of_it_in_its_depth(corners_aligned):
    prompt = patterns.grid(with_sky(smooth_depth()), 8, corners_aligned)
    assert prompt.uv[:, 1].min() >= 12
    assert np.isfinite(prompt.depth).all()
    assert prompt.depth.max() < 4.0


def test_a_grid_coarser_than_the_image_is_empty():
    assert len(patterns.grid(smooth_depth(), 100.0)) == 0


@pytest.mark.parametrize(
    'pattern', [lambda d: patterns.grid(d, 8), lambda d: patterns.scan_lines(d, 8)]
)
def test_nothing_can_be_sampled_from_nothing(pattern):
    assert len(pattern(np.full((48, 64), np.nan, np.float32))) == 0


def test_scan_lines_are_as_many_as_asked_for_in_the_middle_column():
    prompt = patterns.scan_lines(smooth_depth(192, 256), 8, 600, 0.4)
    row, column = pixels(prompt)
    assert len(np.unique(row[np.abs(column - 128) <= 1])) == 8


def test_a_tilted_scanner_has_tilted_lines():
    def rise(tilt):
        prompt = patterns.scan_lines(smooth_depth(192, 256), 1, 600, 0.0, tilt)
        row, column = pixels(prompt)
        return np.polyfit(column, row, 1)[0]

    assert rise(0.0) == pytest.approx(0.0, abs=0.01)
    assert rise(0.1) == pytest.approx(np.tan(0.1), abs=0.01)


@given(share=st.floats(0.0, 0.9), seed=st.integers(0, 9))
def test_blocks_cover_their_share(share, seed):
    mask = patterns.block_mask((48, 64), share, np.random.default_rng(seed))
    assert share <= mask.mean() <= share + 0.04


@pytest.mark.parametrize('name', ['lidar8_full', 'lidar8_holes', 'lidar16_holes'])
def test_scan_lines_are_the_published_ones(published, name):
    depth, expected = published(name)
    prompt = patterns.scan_lines(depth, int(name[5:].split('_')[0]))
    row, column = pixels(prompt)
    assert set(row * depth.shape[1] + column) == set(expected['idx'])


def test_the_grid_is_the_published_one(published):
    depth, expected = published('down8_full')
    prompt = patterns.grid(depth, 8)
    row, column = pixels(prompt)
    np.testing.assert_array_equal(row * depth.shape[1] + column, expected['idx'])
    np.testing.assert_allclose(prompt.depth, expected['depth'], rtol=1e-5)
