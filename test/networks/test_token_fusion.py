# SPDX-License-Identifier: Apache-2.0
"""Patch features, and the module that lends them to a language model."""

from concurrent.futures import ThreadPoolExecutor, wait

import pytest

pytest.importorskip('transformers')

import numpy as np
import torch
from tiny_checkpoints import tiny_network, write_checkpoint

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.networks.patch_features import patch_features
from metric_depth_ros.networks.token_fusion import CrossAttentionFusion
from metric_depth_ros.types import CameraModel, Frame

PAPERS = ('depth_pro', 'student_depthmap', 'teacher', 'student_pointmap', 'lingbot_depth')


@pytest.fixture(autouse=True, scope='module')
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fusion(trained=True):
    torch.manual_seed(0)
    module = CrossAttentionFusion(query_width=32, feature_width=24, out_width=40, heads=4)
    if trained:
        torch.nn.init.normal_(module.attention.out_proj.weight)
    return module


@pytest.fixture
def tokens():
    torch.manual_seed(1)
    return torch.randn(2, 5, 32), torch.randn(2, 9, 24)


def test_every_image_token_becomes_a_token_of_the_language_model(tokens):
    assert fusion()(*tokens).shape == (2, 5, 40)


def test_an_untrained_module_changes_no_image_token(tokens):
    assert torch.equal(fusion(trained=False).fused(*tokens), tokens[0])


def test_masked_features_are_not_looked_at(tokens):
    queries, features = tokens
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[:, 4:] = False
    garbled = features.clone()
    garbled[:, 4:] = 1e3
    module = fusion()
    expected = module.fused(queries, features[:, :4])
    torch.testing.assert_close(module.fused(queries, garbled, mask), expected)
    assert not torch.allclose(module.fused(queries, features), expected)


def test_an_image_without_features_keeps_its_tokens_and_others_theirs(tokens):
    queries, features = tokens
    mask = torch.tensor([[False] * 9, [True] * 9])
    module = fusion()
    fused = module.fused(queries, features, mask)
    assert torch.equal(fused[0], queries[0])
    torch.testing.assert_close(fused[1], module.fused(queries, features)[1])


def test_the_gradient_reaches_every_weight_and_both_inputs(tokens):
    queries, features = (t.requires_grad_() for t in tokens)
    module = fusion()
    module(queries, features).square().sum().backward()
    for tensor in (queries, features, *module.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
    moved = {n for n, p in module.named_parameters() if p.grad.abs().max() > 0.0}
    assert moved == {name for name, _ in module.named_parameters()}


@pytest.mark.parametrize('name', PAPERS)
def test_every_encoder_of_the_papers_has_features_for_each_image(name):
    images = torch.randint(0, 255, (2, 3, 48, 64), dtype=torch.uint8)
    with torch.no_grad():
        network, _ = tiny_network(name)
        both = patch_features(network, images)
        alone = patch_features(network, images[1])
    assert both.ndim == 3
    assert both.isfinite().all()
    torch.testing.assert_close(both[1], alone[0], rtol=1e-4, atol=1e-4)


def test_a_network_without_patches_is_refused():
    with pytest.raises(InputError, match='Linear'):
        patch_features(torch.nn.Linear(1, 1), torch.zeros(3, 8, 8))


def test_an_estimator_returns_the_features_of_a_frame(tmp_path, rng):
    path = write_checkpoint('student_pointmap', tmp_path)
    options = EstimatorOptions(device='cpu', precision='fp32', weights=str(path))
    estimator = create_estimator('student_pointmap', options)
    camera = CameraModel.pinhole(64, 48, 50.0, 50.0, 31.5, 23.5)
    frame = Frame(0, 'camera', rng.integers(0, 255, (48, 64, 3), np.uint8), camera)
    features = estimator.features(frame)
    assert features.ndim == 2
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_nobody_else_uses_a_network_while_its_features_are_asked_for(tmp_path, rng, monkeypatch):
    path = write_checkpoint('student_pointmap', tmp_path)
    options = EstimatorOptions(device='cpu', precision='fp32', weights=str(path))
    estimator = create_estimator('student_pointmap', options)
    frame = Frame(0, 'camera', rng.integers(0, 255, (48, 64, 3), np.uint8))

    def features_while_a_frame_comes(network, images):
        coming.append(others.submit(estimator.estimate, frame))
        assert wait(coming, timeout=1.0).not_done
        return torch.zeros(1, 1, 4)

    monkeypatch.setattr(
        'metric_depth_ros.networks.patch_features.patch_features', features_while_a_frame_comes
    )
    coming = []
    with ThreadPoolExecutor(1) as others:
        assert estimator.features(frame).shape == (1, 4)
        assert coming[0].result().depth.shape == (48, 64)
