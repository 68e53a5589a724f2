# SPDX-License-Identifier: Apache-2.0
"""A prior aligned to the prompt."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('torch')

import torch

from metric_depth_ros.bench.scene import random_prompt, street_like
from metric_depth_ros.estimators import composed as composed_module
from metric_depth_ros.estimators.alignment import pixel_alignment
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.composed import ComposedEstimator
from metric_depth_ros.types import CameraModel, DepthEstimate, Frame, Source, SparsePrompt

WIDTH, HEIGHT = 160, 96


RADAR_ROW = 60


class ScaledTruth(Estimator):
    """Stands for a monocular network: the right shape in the wrong scale."""

    name = 'scaled'

    def __init__(self, depth):
        self.depth = depth.astype(np.float32)

    def estimate(self, frame):
        return DepthEstimate(self.depth, None, frame.camera, 'scaled', {'network': 1.0})


@pytest.fixture
def scene():
    return street_like(WIDTH, HEIGHT)


def composed(scene, depth=None):
    return ComposedEstimator(ScaledTruth(0.3 * scene.depth if depth is None else depth))


def test_scale_comes_from_the_prompt(scene):
    estimate = composed(scene).estimate(scene.frame(random_prompt(scene, 400)))
    np.testing.assert_allclose(estimate.depth, scene.depth, rtol=1e-3)
    assert estimate.depth.dtype == np.float32
    assert estimate.method == 'composed/scaled'
    assert estimate.camera is scene.camera
    assert set(estimate.timings_ms) == {'network', 'estimator'}


def test_one_point_scales_the_prior(scene):
    prompt = random_prompt(scene, 1)
    estimate = composed(scene).estimate(scene.frame(prompt))
    near = (scene.depth > prompt.depth[0] / 2) & (scene.depth < prompt.depth[0] * 2)
    np.testing.assert_allclose(estimate.depth[near], scene.depth[near], rtol=1e-4)


@pytest.mark.parametrize('prompt', [None, SparsePrompt.empty()])
def test_without_points_the_prior_answers_under_its_own_name(prompt, scene):
    estimate = composed(scene).estimate(scene.frame(prompt))
    np.testing.assert_array_equal(estimate.depth, 0.3 * scene.depth)
    assert estimate.method == 'scaled'


def test_unknown_and_boundless_pixels_stay_so_except_at_points(scene):
    prior = 0.3 * scene.depth
    prior[:10], prior[10:40] = np.nan, np.inf
    prompt = random_prompt(scene, 2000)
    known = np.isfinite(prompt.to_map(WIDTH, HEIGHT))
    depth = composed(scene, prior).estimate(scene.frame(prompt)).depth
    assert np.isnan(depth[:10]).all()
    assert np.isposinf(depth[10:40][~known[10:40]]).all()
    np.testing.assert_allclose(depth[known], prompt.to_map(WIDTH, HEIGHT)[known], rtol=1e-6)


def test_points_where_the_prior_knows_nothing_do_not_mix_two_scales(scene):
    prior = 0.3 * scene.depth
    prior[HEIGHT // 3 :] = np.nan
    estimate = composed(scene, prior).estimate(scene.frame(random_prompt(scene, 300)))
    np.testing.assert_array_equal(estimate.depth, prior)
    assert estimate.method == 'scaled'


def test_confidence_falls_with_the_distance_to_the_points(scene):
    prompt = random_prompt(scene, 400)  # none in the upper third
    confidence = composed(scene).estimate(scene.frame(prompt)).confidence
    assert confidence.min() >= 0.0
    at_points = confidence[np.isfinite(prompt.to_map(WIDTH, HEIGHT))]
    np.testing.assert_allclose(at_points, 1.0 / (1.0 + 0.2**2), rtol=1e-6)
    assert confidence[0].mean() < confidence[16].mean() < confidence[60].mean()


def test_confidence_falls_where_the_points_contradict_the_prior(scene):
    rng = np.random.default_rng(1)
    prompt = random_prompt(scene, 400)
    left = prompt.uv[:, 0] < WIDTH / 2
    noise = np.where(left, rng.uniform(0.6, 1.6, 400), 1.0).astype(np.float32)
    noisy = replace(prompt, depth=prompt.depth * noise)
    confidence = composed(scene).estimate(scene.frame(noisy)).confidence[HEIGHT // 2 :]
    assert confidence[:, :60].mean() < 0.5 * confidence[:, 100:].mean()


def test_cameras_are_aligned_as_one_batch(scene):
    frames = [scene.frame(random_prompt(scene, n, seed=n)) for n in (300, 2)]
    frames.append(scene.frame(SparsePrompt.empty()))
    estimator = composed(scene)
    together = estimator.estimate_batch(frames)
    for frame, estimate in zip(frames, together, strict=True):
        alone = estimator.estimate(frame)
        np.testing.assert_allclose(estimate.depth, alone.depth, rtol=1e-5)
        assert estimate.method == alone.method


def test_an_alignment_that_does_not_fit_on_its_device_is_made_on_the_cpu(scene, monkeypatch):
    aligned_on = []

    def crowded(prior, prompt):
        aligned_on.append(prior.device.type)
        if prior.is_meta:  # stands for a GPU
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 256 MiB')
        return pixel_alignment(prior, prompt)

    monkeypatch.setattr(composed_module, 'pixel_alignment', crowded)
    estimator = ComposedEstimator(ScaledTruth(0.3 * scene.depth), 'meta')
    frame = scene.frame(random_prompt(scene, 400))
    for _ in range(2):
        np.testing.assert_allclose(estimator.estimate(frame).depth, scene.depth, rtol=1e-3)
    assert aligned_on == ['meta', 'cpu', 'cpu']


class Wall(Estimator):
    """Stands for a network that sees a wall at 1 m whatever the size of the image."""

    name = 'wall'

    def __init__(self):
        self.asked = []

    def estimate(self, frame):
        return self.estimate_batch([frame])[0]

    def estimate_batch(self, frames):
        self.asked.append(len(frames))
        return [
            DepthEstimate(np.ones(f.image.shape[:2], np.float32), method='wall') for f in frames
        ]


def walled(size, columns, depth_m, sigma_m, source=Source.LIDAR):
    """Return a frame with points in one row."""
    width, height = size
    n = len(columns)
    uv = np.stack((columns, np.full(n, RADAR_ROW if height > RADAR_ROW else 0)), 1)
    prompt = SparsePrompt(
        uv.astype(np.float32),
        np.broadcast_to(np.float32(depth_m), n).copy(),
        np.broadcast_to(np.float32(sigma_m), n).copy(),
        np.full(n, source, np.uint8),
    )
    camera = CameraModel.pinhole(width, height, 100.0, 100.0, width / 2, height / 2)
    return Frame(0, 'camera', np.zeros((height, width, 3), np.uint8), camera, prompt)


def test_points_of_large_sigma_are_not_taken_at_their_word():
    depth_m = [10.0, 10.0, 21.0, 10.0, 10.0]
    frame = walled((WIDTH, HEIGHT), [10, 40, 80, 120, 150], depth_m, [0.5, 0.5, 5.0, 0.5, 0.5])
    depth = ComposedEstimator(Wall()).estimate(frame).depth
    np.testing.assert_allclose(depth, 10.0, rtol=1e-3)


def test_confidence_at_a_point_falls_with_its_relative_sigma():
    frame = walled((WIDTH, HEIGHT), [40, 120], 10.0, [0.5, 1.0])
    confidence = ComposedEstimator(Wall()).estimate(frame).confidence
    np.testing.assert_allclose(confidence[RADAR_ROW, [40, 120]], [0.5, 0.2], rtol=1e-5)


def test_the_nearest_point_of_a_pixel_gives_its_confidence():
    frame = walled((WIDTH, HEIGHT), [40, 40], [10.0, 11.0], [1.0, 0.0])
    confidence = ComposedEstimator(Wall()).estimate(frame).confidence
    assert confidence[RADAR_ROW, 40] == pytest.approx(0.2)


def test_a_radar_return_is_believed_over_the_rows_that_it_may_stand_for():
    frame = walled((WIDTH, HEIGHT), [30, 80, 130], 20.0, 0.5, Source.RADAR)
    column = ComposedEstimator(Wall()).estimate(frame).confidence[:, 80]
    # 2 m above it, where the sigma of a return is three times its own.
    assert column[RADAR_ROW - 10] == pytest.approx(1.0 / (1.0 + 1.5**2), rel=1e-5)


def test_cameras_of_different_sizes_are_answered_by_one_batch_of_the_prior():
    prior = Wall()
    sizes = [(64, 48), (80, 60), (64, 48)]
    frames = [walled(size, [5, 30, 60], 3.0 + i, 0.01) for i, size in enumerate(sizes)]
    estimates = ComposedEstimator(prior).estimate_batch(frames)
    assert prior.asked == [3]
    for i, (size, estimate) in enumerate(zip(sizes, estimates, strict=True)):
        np.testing.assert_allclose(estimate.depth, np.full(size[::-1], 3.0 + i), rtol=1e-3)
