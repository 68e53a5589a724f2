# SPDX-License-Identifier: Apache-2.0
"""The compact teacher answers frames: metric, of the image's size, through the points."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.learned import compact_teacher
from metric_depth_ros.estimators.learned.compact_inputs import MOST_PIXELS, fine_size
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.networks.compact_teacher import CompactTeacher, CompactTeacherConfig
from metric_depth_ros.types import CameraModel, Frame, Source, SparsePrompt


@pytest.fixture(scope='module')
def options(tmp_path_factory):
    torch.manual_seed(4)
    network = CompactTeacher(CompactTeacherConfig((4, 6, 8), (1, 1, 1)))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    path = tmp_path_factory.mktemp('weights') / 'tiny.safetensors'
    config = json.dumps(network.config.as_model_config())
    save_file(network.state_dict(), path, {'model_config': config})
    return EstimatorOptions(device='cpu', weights=str(path), precision='fp32')


@pytest.fixture(scope='module')
def estimator(options):
    return create_estimator('compact_teacher', options)


def _frame(
    size: tuple[int, int] = (101, 67), scale: float = 1.0, seed: int = 0, points: int = 60
) -> Frame:
    width, height = size
    rng = np.random.default_rng(seed)
    uv = rng.uniform((0, 0), (width - 1, height - 1), (points, 2)).astype(np.float32)
    depth = (scale * rng.uniform(2.0, 8.0, points)).astype(np.float32)
    prompt = SparsePrompt(uv, depth, 0.01 * depth, np.full(points, Source.LIDAR, np.uint8))
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


@pytest.mark.parametrize(('size', 'points'), [((101, 67), 60), ((640, 480), 20_000)])
def test_several_cameras_are_answered_as_each_alone(estimator, size, points):
    frames = [_frame(size, seed=1), _frame(size, seed=2, points=points)]

    together = estimator.estimate_batch(frames)

    for frame, estimate in zip(frames, together, strict=True):
        alone = estimator.estimate(frame).depth
        np.testing.assert_allclose(estimate.depth, alone, rtol=1e-4)


@pytest.mark.parametrize('points', [1, 2, 1_000_000])
def test_one_point_and_a_million_are_answered(estimator, points):
    estimate = estimator.estimate(_frame(points=points))

    assert np.isfinite(estimate.depth).all()
    assert (estimate.depth > 0.0).all()


@pytest.mark.parametrize('size', [(1, 1), (7, 5), (33, 31), (3, 400), (2000, 9)])
def test_an_image_of_any_size_is_answered_at_its_size(estimator, size):
    estimate = estimator.estimate(_frame(size, points=5))

    assert estimate.depth.shape == estimate.confidence.shape == size[::-1]
    assert np.isfinite(estimate.depth).all()


@pytest.mark.parametrize('size', [(7680, 4320), (4320, 7680), (20_000, 500)])
def test_what_the_network_sees_of_a_large_image_is_bounded(size):
    width, height = fine_size(*size)

    assert width * height <= 1.1 * MOST_PIXELS


def test_bf16_changes_the_depth_by_less_than_a_hundredth(options, estimator):
    low = create_estimator('compact_teacher', replace(options, precision='bf16'))
    exact, rounded = (each.estimate(_frame()) for each in (estimator, low))

    np.testing.assert_allclose(rounded.depth, exact.depth, rtol=0.01)
    assert not np.array_equal(rounded.depth, exact.depth)
    assert rounded.method == exact.method


@pytest.mark.parametrize('native', [True, False])
def test_auto_is_bf16_only_on_a_processor_that_has_it(native, options, estimator, monkeypatch):
    monkeypatch.setattr(compact_teacher, 'cpu_has_bf16', lambda: native)
    auto = create_estimator('compact_teacher', replace(options, precision='auto'))
    depth = auto.estimate(_frame()).depth

    assert np.array_equal(depth, estimator.estimate(_frame()).depth) is not native


def test_compiled_code_is_needed_for_four_sizes_at_most(options, monkeypatch):
    seen = set()
    forward = CompactTeacher.forward

    def watched(network, inputs, guess):
        seen.add(guess.shape)
        return forward(network, inputs, guess)

    monkeypatch.setattr(CompactTeacher, 'forward', watched)
    monkeypatch.setattr(torch, 'compile', lambda function, **_: function)
    estimator = create_estimator('compact_teacher', replace(options, compile=True))
    for points in (0, 1, *range(200, 2600, 300)):
        estimator.estimate(_frame((640, 480), points=points))

    assert 1 < len(seen) <= 4


def test_another_resolution_is_refused(options):
    with pytest.raises(InputError, match=r'resolution_scale is 3.*set it to 1'):
        create_estimator('compact_teacher', replace(options, resolution_scale=3.0))


def test_memory_that_runs_out_is_not_answered_with_a_resolution_that_there_is_not(
    options, monkeypatch
):
    def never_fits(network, inputs, guess):
        raise torch.OutOfMemoryError('out of memory')

    monkeypatch.setattr(CompactTeacher, 'forward', never_fits)
    estimator = create_estimator('compact_teacher', options)
    with pytest.raises(InputError, match='not even 1x tokens'):
        estimator.estimate(_frame())
