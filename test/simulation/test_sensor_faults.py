# SPDX-License-Identifier: Apache-2.0
"""Faults that any prompt can have, and points of structure from motion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.simulation.sensors import faults, patterns
from metric_depth_ros.simulation.sensors.sfm import triangulated_corners
from metric_depth_ros.types import SparsePrompt

DEPTH = np.linspace(2.0, 20.0, 60 * 80, dtype=np.float32).reshape(60, 80)
ALL = patterns.at_pixels(DEPTH, np.arange(DEPTH.size))


def chessboard():
    v, u = np.mgrid[:60, :80]
    gray = ((u // 8 + v // 8) % 2 * 200).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


@given(share=st.floats(0.0, 1.0), seed=st.integers(0, 5))
def test_misplaced_points_are_as_many_as_said(share, seed):
    wrong = faults.misplace(ALL, share, np.random.default_rng(seed))
    assert np.mean(wrong.depth != ALL.depth) == pytest.approx(share, abs=0.04)
    np.testing.assert_array_equal(wrong.uv, ALL.uv)


def test_misplaced_points_lie_anywhere_in_the_scene_and_a_little_beyond():
    wrong = faults.misplace(ALL, 1.0, np.random.default_rng(0)).depth
    assert 1.0 <= wrong.min() < 2.0
    assert 20.0 < wrong.max() < 41.0


def test_a_share_of_the_points_is_kept():
    kept = faults.keep_share(ALL, 0.25, np.random.default_rng(0))
    assert len(kept) / len(ALL) == pytest.approx(0.25, abs=0.03)


def test_points_under_a_mask_are_dropped():
    mask = np.zeros(DEPTH.shape, np.bool_)
    mask[:30] = True
    assert faults.drop_under(ALL, mask).uv[:, 1].min() == 30


def test_a_lattice_of_step_two_is_every_second_row_and_column():
    kept = faults.keep_lattice(ALL, 2.0)
    assert len(kept) == len(ALL) / 4
    assert not (kept.uv % 2.0).any()


def test_a_lattice_between_one_and_two_pixels_has_empty_rows():
    kept = faults.keep_lattice(ALL, 1.5)
    assert len(np.unique(kept.uv[:, 1])) == 40


@given(du=st.floats(-9.0, 9.0), dv=st.floats(-9.0, 9.0))
def test_shifted_points_stay_in_the_image(du, dv):
    moved = faults.shift(ALL, (du, dv), (80, 60))
    column, row = np.rint(moved.uv).T
    assert ((column >= 0) & (column < 80) & (row >= 0) & (row < 60)).all()
    assert len(moved) >= 70 * 50


def test_noise_is_relative():
    noisy = faults.add_noise(ALL, 0.02, np.random.default_rng(0))
    assert np.std(np.log(noisy.depth / ALL.depth)) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize('fault', [faults.misplace, faults.keep_share, faults.add_noise])
def test_nothing_stays_nothing(fault):
    assert len(fault(SparsePrompt.empty(), 0.5, np.random.default_rng(0))) == 0


def test_corners_are_found_where_the_image_has_them():
    prompt = triangulated_corners(DEPTH, chessboard(), 50, np.random.default_rng(0))
    from_corner = (prompt.uv + 4.0) % 8.0 - 4.0
    assert len(prompt) > 20
    assert np.abs(from_corner).max() <= 3.0


def test_a_blank_image_has_no_corners():
    blank = np.full((60, 80, 3), 90, np.uint8)
    assert len(triangulated_corners(DEPTH, blank, 50, np.random.default_rng(0))) == 0


def test_triangulation_noise_grows_with_depth():
    def spread(rows):
        errors = []
        for seed in range(20):
            prompt = triangulated_corners(
                DEPTH, chessboard(), 60, np.random.default_rng(seed), 0.02, 0.0
            )
            column, row = prompt.uv.astype(int).T
            error = np.log(prompt.depth / DEPTH[row, column])
            errors.append(error[(row >= rows[0]) & (row < rows[1])])
        return np.std(np.concatenate(errors))

    assert spread((40, 60)) > 1.8 * spread((0, 20))


def test_some_corners_are_matched_to_something_else():
    prompt = triangulated_corners(DEPTH, chessboard(), 60, np.random.default_rng(1), 0.0, 0.3)
    column, row = prompt.uv.astype(int).T
    wrong = np.abs(prompt.depth / DEPTH[row, column] - 1.0) > 0.02
    assert 0.1 < wrong.mean() < 0.5
