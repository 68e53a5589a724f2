# SPDX-License-Identifier: Apache-2.0
"""The compact student answers frames: metric by the focal length, known or recovered."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

pytest.importorskip('torch')

import torch
from safetensors.torch import save_file

from metric_depth_ros.estimators.learned.loading import build_network
from metric_depth_ros.estimators.learned.shipped import manifest
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.networks.checkpoints import parameter_count
from metric_depth_ros.networks.compact_student import CompactStudent, CompactStudentConfig
from metric_depth_ros.types import CameraModel, Frame

CONFIG = CompactStudentConfig(16, 4, 2, (0, 1, 2, 3), 8, canvas_px=96 * 64)
WIDTH, HEIGHT = 150, 101
SHARE = 0.9  # focal length over image width that the tiny network always answers


def _write(folder, sky=-9.0):
    """Write a tiny network that answers a known focal length and sky; return its file."""
    torch.manual_seed(4)
    network = CompactStudent(CONFIG)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    with torch.no_grad():
        network.focal[-1].weight.zero_()
        network.focal[-1].bias.fill_(float(np.log(SHARE / 0.8)))
        network.head[-1].bias[2] = sky
    path = folder / f'sky{sky}.safetensors'
    save_file(network.state_dict(), path, {'model_config': json.dumps(asdict(CONFIG))})
    return str(path)


@pytest.fixture(scope='module')
def options(tmp_path_factory):
    return EstimatorOptions(device='cpu', weights=_write(tmp_path_factory.mktemp('weights')))


@pytest.fixture(scope='module')
def estimator(options):
    return create_estimator('compact_student', options)


def _frame(size=(WIDTH, HEIGHT), focal_px=120.0, seed=0):
    width, height = size
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    if focal_px is None:
        return Frame(0, 'camera', image)
    camera = CameraModel.pinhole(width, height, focal_px, focal_px, width / 2, height / 2)
    return Frame(0, 'camera', image, camera)


@pytest.mark.parametrize(
    'size', [(WIDTH, HEIGHT), (96, 64), (1, 1), (7, 5), (3, 400), (2000, 9), (640, 480)]
)
def test_an_image_of_any_size_is_answered_at_its_size(estimator, size):
    estimate = estimator.estimate(_frame(size))

    assert estimate.depth.shape == estimate.confidence.shape == size[::-1]
    assert estimate.depth.dtype == np.float32
    assert np.isfinite(estimate.depth).all()
    assert (estimate.depth > 0.0).all()
    assert ((estimate.confidence >= 0.0) & (estimate.confidence <= 1.0)).all()
    assert estimate.method == 'compact_student'


@pytest.mark.parametrize('level', [0, 127, 255])
def test_an_image_of_one_color_is_answered(estimator, level):
    frame = _frame()
    flat = replace(frame, image=np.full_like(frame.image, level))

    assert np.isfinite(estimator.estimate(flat).depth).all()


def test_twice_the_focal_length_is_twice_the_depth(estimator):
    near, far = estimator.estimate_batch([_frame(focal_px=120.0), _frame(focal_px=240.0)])

    np.testing.assert_allclose(far.depth, 2.0 * near.depth, rtol=1e-5)


def test_the_camera_is_recovered_where_none_is_known(estimator):
    estimate = estimator.estimate(_frame(focal_px=None))

    assert estimator.recovers_camera
    assert estimate.camera.size == (WIDTH, HEIGHT)
    assert estimate.camera.K[0, 0] == pytest.approx(SHARE * WIDTH, rel=1e-4)
    assert estimate.camera.K[0, 2] == pytest.approx(0.5 * (WIDTH - 1))


def test_a_recovered_camera_answers_as_the_same_camera_known(estimator):
    recovered = estimator.estimate(_frame(focal_px=None))
    known = estimator.estimate(_frame(focal_px=SHARE * WIDTH))

    np.testing.assert_allclose(recovered.depth, known.depth, rtol=1e-4)


def test_a_known_camera_is_kept(estimator):
    frame = _frame()

    assert estimator.estimate(frame).camera is frame.camera


def test_several_cameras_are_answered_as_each_alone(estimator):
    frames = [_frame(seed=1), _frame(seed=2, focal_px=None), _frame((64, 64), seed=3)]

    for frame, together in zip(frames, estimator.estimate_batch(frames), strict=True):
        alone = estimator.estimate(frame)
        np.testing.assert_allclose(together.depth, alone.depth, rtol=1e-4)


def test_what_is_surely_sky_is_endless_and_not_trusted(options, tmp_path):
    sky = create_estimator('compact_student', replace(options, weights=_write(tmp_path, 9.0)))
    estimate = sky.estimate(_frame())

    assert np.isposinf(estimate.depth).all()
    assert estimate.confidence.max() < 0.01


def test_what_may_be_sky_keeps_its_depth(options, tmp_path):
    # The network's own start is -2: together as likely sky as not.
    doubtful = create_estimator('compact_student', replace(options, weights=_write(tmp_path, 2.0)))

    assert np.isfinite(doubtful.estimate(_frame()).depth).all()


def test_another_resolution_changes_the_detail_not_the_size(options):
    estimator = create_estimator('compact_student', replace(options, resolution_scale=3.0))

    assert estimator.estimate(_frame()).depth.shape == (HEIGHT, WIDTH)


def test_warming_up_changes_no_answer(options):
    estimator = create_estimator('compact_student', options)
    cold = estimator.estimate(_frame()).depth
    estimator.warm_up(WIDTH, HEIGHT)

    np.testing.assert_array_equal(estimator.estimate(_frame()).depth, cold)


def test_bf16_is_close_to_fp32(options):
    exact, rounded = (
        create_estimator('compact_student', replace(options, precision=p)).estimate(_frame())
        for p in ('fp32', 'bf16')
    )

    np.testing.assert_allclose(rounded.depth, exact.depth, rtol=0.05)
    assert rounded.method == exact.method


@pytest.mark.parametrize('name', ['compact_student', 'compact_teacher'])
def test_the_manifest_knows_how_many_parameters_they_have(name):
    assert parameter_count(build_network(name)) == manifest()[name]['parameters']
