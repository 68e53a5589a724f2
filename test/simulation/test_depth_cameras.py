# SPDX-License-Identifier: Apache-2.0
"""Depth cameras and time of flight over depth that can be written down."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.simulation.scene import camera_of
from metric_depth_ros.simulation.sensors.rgbd import DepthCameraModel, incidence, measure
from metric_depth_ros.simulation.sensors.time_of_flight import TimeOfFlightModel, measure_cells

SHAPE = (96, 128)
CAMERA = camera_of(128, 96, 60.0)
PERFECT = DepthCameraModel(disparity_step_px=1e-4, disparity_noise_px=0.0, edge_loss=0.0)
GRAY = np.full((*SHAPE, 3), 128, np.uint8)
NOISE = np.random.default_rng(5).integers(0, 255, (*SHAPE, 3)).astype(np.uint8)


def flat(meters):
    return np.full(SHAPE, meters, np.float32)


def step(near_m=1.0, far_m=3.0):
    """Return a near pillar in the middle of a far wall."""
    depth = flat(far_m)
    depth[:, 50:70] = near_m
    return depth


def measured(depth, model, image=GRAY, gloss=None, seed=0):
    return measure(depth, image, CAMERA, model, np.random.default_rng(seed), gloss)


def test_a_perfect_camera_measures_the_depth():
    np.testing.assert_allclose(measured(flat(2.0), PERFECT), 2.0, rtol=1e-3)


def test_there_is_no_depth_where_there_is_nothing():
    depth = flat(2.0)
    depth[:40] = np.inf
    result = measured(depth, PERFECT)
    assert np.isnan(result[:35]).all()
    assert np.isfinite(result[60:]).all()


@pytest.mark.parametrize('meters', [0.1, 9.0])
def test_there_is_no_depth_out_of_range(meters):
    assert np.isnan(measured(flat(meters), PERFECT)).all()


def test_noise_grows_with_the_square_of_depth():
    noisy = replace(PERFECT, disparity_noise_px=0.05)
    near = np.std(measured(flat(1.0), noisy))
    far = np.std(measured(flat(4.0), noisy))
    assert far / near == pytest.approx(16.0, rel=0.15)


def test_depth_comes_in_steps_of_disparity():
    model = replace(PERFECT, disparity_step_px=0.25)
    ramp = np.broadcast_to(np.linspace(2.0, 4.0, 128, dtype=np.float32), SHAPE).copy()
    result = measured(ramp, model)
    disparity = 580.0 * 0.075 / result[np.isfinite(result)]
    np.testing.assert_allclose(disparity / 0.25, np.rint(disparity / 0.25), atol=1e-3)


def test_the_second_eye_does_not_see_left_of_a_pillar():
    hole = np.isnan(measured(step(), PERFECT))
    # b f (1/near - 1/far) = 5.5 px of this camera hide left of the pillar, and none right of it.
    # The pixels beside the step itself look like a grazing surface.
    assert hole[:, 45:50].mean() > 0.9
    assert not hole[:, 72:].any()


def test_edges_are_lost():
    lossy = replace(PERFECT, edge_loss=1.0)
    assert np.isnan(measured(step(), lossy)[:, 69:71]).all()


def test_stereo_fattens_near_surfaces():
    fat = measured(step(), replace(PERFECT, fattening_px=3))
    assert np.allclose(fat[:, 71:73], 1.0, rtol=1e-2)
    assert np.allclose(fat[:, 76:], 3.0, rtol=1e-2)


def test_stereo_needs_texture():
    needy = replace(PERFECT, texture_need=2.0)
    assert np.isnan(measured(flat(2.0), needy, GRAY)).mean() > 0.8
    assert np.isnan(measured(flat(2.0), needy, NOISE)).mean() < 0.1


def test_dark_surfaces_are_lost():
    dark = GRAY // 16
    assert np.isnan(measured(flat(2.0), replace(PERFECT, darkness=30.0), dark)).mean() > 0.8


def test_highlights_are_lost():
    bright = np.full_like(GRAY, 255)
    assert np.isnan(measured(flat(2.0), PERFECT, bright)).mean() > 0.8


def test_mirrors_are_lost_head_on():
    gloss = np.ones(SHAPE, np.float32)
    result = measured(flat(2.0), PERFECT, gloss=gloss)
    assert np.isnan(result[40:56, 56:72]).mean() > 0.9


@given(st.floats(-0.8, 0.8))
def test_incidence_of_a_slanted_plane_is_exact(slope):
    u = (np.arange(128) - CAMERA.K[0, 2]) / CAMERA.K[0, 0]
    v = (np.arange(96)[:, None] - CAMERA.K[1, 2]) / CAMERA.K[1, 1]
    depth = np.broadcast_to(2.0 / (1.0 - slope * u), SHAPE).astype(np.float32)
    cosine = np.abs(slope * u - 1.0) / np.hypot(slope, 1.0) / np.sqrt(u**2 + v**2 + 1.0)
    np.testing.assert_allclose(incidence(depth, CAMERA)[2:-2, 2:-2], cosine[2:-2, 2:-2], atol=0.01)


def test_time_of_flight_is_small():
    cells = measure_cells(flat(2.0), TimeOfFlightModel(factor=8.0), np.random.default_rng(0))
    assert cells.shape == (12, 16)
    np.testing.assert_allclose(cells, 2.0, rtol=0.15)


def test_time_of_flight_mixes_both_sides_of_an_edge():
    model = TimeOfFlightModel(factor=8.0, noise_rel=0.0, scale_error=0.0)
    cells = measure_cells(step(1.0, 3.0), model, np.random.default_rng(0))
    assert ((cells > 1.2) & (cells < 2.6)).any()
    assert cells.min() >= 0.99
    assert cells.max() <= 3.01


def test_time_of_flight_has_no_value_out_of_range():
    model = TimeOfFlightModel(max_depth_m=4.0)
    assert np.isnan(measure_cells(flat(5.0), model, np.random.default_rng(0))).all()


def test_time_of_flight_fades_into_the_sky():
    depth = flat(2.0)
    depth[:48] = np.inf
    cells = measure_cells(depth, TimeOfFlightModel(factor=8.0), np.random.default_rng(0))
    assert np.isnan(cells[:5]).all()
    assert np.isfinite(cells[6:]).all()
