# SPDX-License-Identifier: Apache-2.0
"""The compact teacher answers frames: metric, of the image's size, through the points."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.networks.compact_teacher import CompactTeacher, CompactTeacherConfig
from metric_depth_ros.types import CameraModel, Frame, Source, SparsePrompt


@pytest.fixture(scope='module')
def estimator(tmp_path_factory):
    torch.manual_seed(4)
    network = CompactTeacher(CompactTeacherConfig((4, 6, 8), (1, 1, 1)))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    path = tmp_path_factory.mktemp('weights') / 'tiny.safetensors'
    config = json.dumps(network.config.as_model_config())
    save_file(network.state_dict(), path, {'model_config': config})
    return create_estimator('compact_teacher', EstimatorOptions(device='cpu', weights=str(path)))


def _frame(size: tuple[int, int] = (101, 67), scale: float = 1.0, seed: int = 0) -> Frame:
    width, height = size
    rng = np.random.default_rng(seed)
    uv = rng.uniform((0, 0), (width - 1, height - 1), (60, 2)).astype(np.float32)
    depth = (scale * rng.uniform(2.0, 8.0, 60)).astype(np.float32)
    prompt = SparsePrompt(uv, depth, 0.01 * depth, np.full(60, Source.LIDAR, np.uint8))
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    camera = CameraModel.pinhole(width, height, 90.0, 90.0, width / 2, height / 2)
    return Frame(0, 'camera', image, camera, prompt)


def test_an_odd_image_is_answered_at_its_size(estimator):
    estimate = estimator.estimate(_frame())

    assert estimate.depth.shape == (67, 101)
    assert np.isfinite(estimate.depth).all()
    assert (estimate.depth > 0.0).all()
    assert estimate.method == 'compact_teacher'


def test_confidence_lies_between_0_and_1(estimator):
    confidence = estimator.estimate(_frame()).confidence

    assert confidence.shape == (67, 101)
    assert ((confidence >= 0.0) & (confidence <= 1.0)).all()


def test_a_scaled_prompt_scales_the_depth(estimator):
    plain = estimator.estimate(_frame()).depth
    scaled = estimator.estimate(_frame(scale=7.0)).depth

    np.testing.assert_allclose(scaled, 7.0 * plain, rtol=2e-3)


def test_without_a_prompt_nothing_is_known(estimator):
    frame = _frame()
    estimate = estimator.estimate(Frame(0, 'camera', frame.image, frame.camera))

    assert np.isnan(estimate.depth).all()
    assert 'no prompt' in estimate.method


def test_a_frame_without_a_camera_is_answered(estimator):
    frame = _frame()
    estimate = estimator.estimate(Frame(0, 'camera', frame.image, None, frame.prompt))

    assert np.isfinite(estimate.depth).all()


def test_several_cameras_are_answered_as_each_alone(estimator):
    frames = [_frame(seed=1), _frame(seed=2)]

    together = estimator.estimate_batch(frames)

    for frame, estimate in zip(frames, together, strict=True):
        alone = estimator.estimate(frame).depth
        np.testing.assert_allclose(estimate.depth, alone, rtol=1e-4)
