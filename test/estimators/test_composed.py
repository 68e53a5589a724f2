# SPDX-License-Identifier: Apache-2.0
"""A prior aligned to the prompt."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('torch')

from metric_depth_ros.bench.scene import random_prompt, street_like
from metric_depth_ros.estimators.composed import ComposedEstimator
from metric_depth_ros.types import DepthEstimate, SparsePrompt

WIDTH, HEIGHT = 160, 96


class ScaledTruth:
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
    assert (confidence[np.isfinite(prompt.to_map(WIDTH, HEIGHT))] == 1.0).all()
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
