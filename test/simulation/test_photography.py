# SPDX-License-Identifier: Apache-2.0
"""Pictures of light: exposure, grain, compression."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from metric_depth_ros.simulation.photography import (
    CameraNoise,
    expose_randomly,
    random_noise,
    spoil,
)

CLEAN = CameraNoise(vignette=0.0, noise_steps=0.0, blur_px=0.1)


def ramp():
    steps = torch.linspace(0.05, 1.0, 64)
    return steps.expand(48, 64)[..., None].expand(48, 64, 3)


def picture(noise, radiance=None, seed=0):
    return expose_randomly(
        ramp() if radiance is None else radiance, np.random.default_rng(seed), noise
    )


def test_more_light_is_brighter():
    row = picture(CLEAN)[24, :, 0].astype(int)
    assert (np.diff(row) >= 0).all()
    assert row[-1] > row[0] + 100


def test_exposure_follows_the_light_of_the_scene():
    bright, dark = picture(CLEAN, 50.0 * ramp()), picture(CLEAN, 0.02 * ramp())
    np.testing.assert_allclose(bright.astype(int), dark.astype(int), atol=1)


def test_a_stop_more_is_brighter():
    assert picture(replace(CLEAN, stops=1.0)).mean() > picture(CLEAN).mean() + 20


def test_no_saturation_makes_gray():
    colored = ramp() * torch.tensor([1.0, 0.5, 0.2])
    image = picture(replace(CLEAN, saturation=0.0, noise_steps=3.0), colored)
    assert (image == image[..., :1]).all()


@pytest.mark.parametrize(
    'fault', [{'motion_px': 6.0}, {'blur_px': 2.0}, {'jpeg_quality': 20}, {'bands': 0.3}]
)
def test_every_fault_changes_the_picture(fault):
    edge = ramp().clone()
    edge[:, 32:] *= 4.0
    assert (picture(replace(CLEAN, **fault), edge) != picture(CLEAN, edge)).any()


def test_grain_is_as_strong_as_asked():
    flat = torch.full((64, 64, 3), 0.3)
    image = picture(replace(CLEAN, noise_steps=4.0), flat)
    assert 3.0 < image.std() < 5.0


def test_light_of_any_strength_makes_a_picture():
    for level in (0.0, 1e-6, 1e6):
        assert picture(CLEAN, level * ramp()).shape == (48, 64, 3)


def test_random_noise_varies():
    drawn = [random_noise(np.random.default_rng(seed)) for seed in range(40)]
    assert any(n.saturation == 0.0 for n in drawn)
    assert any(n.jpeg_quality is None for n in drawn)
    assert np.ptp([n.stops for n in drawn]) > 1.0


@pytest.mark.parametrize(
    'fault', [{'motion_px': 6.0}, {'blur_px': 2.0}, {'jpeg_quality': 20}, {'noise_steps': 4.0}]
)
def test_a_recorded_picture_is_spoiled_but_keeps_its_exposure(fault):
    edge = np.full((48, 64, 3), 60, np.uint8)
    edge[:, 32:] = 180
    spoiled = spoil(edge, np.random.default_rng(0), replace(CLEAN, **fault))
    assert spoiled.shape == edge.shape
    assert (spoiled != edge).any()
    assert spoiled[:, :24].mean() == pytest.approx(60.0, abs=2.0)
    assert spoiled[:, 40:].mean() == pytest.approx(180.0, abs=2.0)
