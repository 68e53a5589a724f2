# SPDX-License-Identifier: Apache-2.0
"""Frames through tiny random networks: what an adapter makes of each frame and output."""

import contextlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('transformers')

import torch
from safetensors.torch import load_file, save_file
from tiny_checkpoints import FOV_DEG, NETWORKS, tiny_network, write_checkpoint

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators import registry
from metric_depth_ros.estimators.learned.lingbot_depth import LingBotDepthAdapter
from metric_depth_ros.estimators.learned.loading import network_from, skeleton
from metric_depth_ros.estimators.learned.student_pointmap import StudentPointMapAdapter
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime.precision import low_precision_of
from metric_depth_ros.networks.backbones.dinov2 import DinoV2
from metric_depth_ros.networks.backbones.dinov3 import DinoV3
from metric_depth_ros.networks.checkpoints import Checkpoint
from metric_depth_ros.networks.depth_pro import DepthPro
from metric_depth_ros.types import CameraModel, Frame, SparsePrompt

WIDTH, HEIGHT = 64, 48


@pytest.fixture(scope='module')
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp('weights')
    weights = ','.join(f'{name}={write_checkpoint(name, folder)}' for name in NETWORKS)
    return EstimatorOptions(device='cpu', precision='fp32', weights=weights)


def create_estimator(spec, options):
    """Make an estimator; of the weights given by name it gets those of its networks."""
    names = {*spec.split(':'), 'depth_pro' if spec == 'teacher' else ''}
    own = [w for w in options.weights.split(',') if '=' not in w or w.split('=')[0] in names]
    return registry.create_estimator(spec, replace(options, weights=','.join(own)))


def checkpoint_of(network, model_config, path):
    """Write a network; return the path as weights are given."""
    state = network.to_official(network.state_dict())
    torch.save({'model_config': model_config, 'model': state}, path)
    return str(path)


@pytest.fixture
def frame(rng):
    uv = np.stack((rng.uniform(0, WIDTH - 1, 200), rng.uniform(0, HEIGHT - 1, 200)), -1)
    prompt = SparsePrompt(
        uv.astype(np.float32),
        rng.uniform(2.0, 9.0, 200).astype(np.float32),
        np.full(200, 0.02, np.float32),
        np.zeros(200, np.uint8),
    )
    image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    camera = CameraModel.pinhole(WIDTH, HEIGHT, 50.0, 50.0, 31.5, 23.5)
    return Frame(0, 'camera', image, camera, prompt)


def zoomed(frame, focal_px):
    camera = CameraModel.pinhole(WIDTH, HEIGHT, focal_px, focal_px, 31.5, 23.5)
    return replace(frame, camera=camera)


@pytest.mark.parametrize('name', NETWORKS)
def test_a_frame_becomes_finite_depth_of_its_size(name, options, frame):
    estimate = create_estimator(
        'teacher:classical' if name == 'teacher' else name, options
    ).estimate(frame)
    assert estimate.depth.shape == (HEIGHT, WIDTH)
    assert estimate.depth.dtype == np.float32
    assert np.isfinite(estimate.depth).all()
    assert (estimate.depth > 0.0).all()
    assert estimate.camera is frame.camera
    assert estimate.method.startswith(name)


@pytest.mark.parametrize('name', ['student_pointmap', 'teacher:student_pointmap'])
def test_an_estimator_that_compiles_is_not_ready(name, options, frame, monkeypatch):
    ready_s = []

    def compiler(method, **kwargs):
        return lambda *a, **k: (ready_s.append(estimator.ready_since_s()), method(*a, **k))[1]

    monkeypatch.setattr(torch, 'compile', compiler)
    estimator = create_estimator(name, replace(options, compile=True))
    estimator.estimate(frame)
    assert ready_s
    assert set(ready_s) == {math.inf}
    assert estimator.ready_since_s() < math.inf


@pytest.mark.parametrize('name', ['student_depthmap', 'depth_pro', 'student_pointmap'])
def test_depth_is_proportional_to_the_focal_length_even_in_one_batch(name, options, frame):
    # student_pointmap's, too: its tiny network sees a plane whose shift the focal length tells.
    near, far = create_estimator(name, options).estimate_batch([frame, zoomed(frame, 100.0)])
    np.testing.assert_allclose(far.depth, 2.0 * near.depth, rtol=1e-4)
    assert (near.camera.K[0, 0], far.camera.K[0, 0]) == (50.0, 100.0)


@pytest.mark.parametrize('spec', ['student_depthmap', 'depth_pro', 'teacher:classical'])
def test_what_reaches_the_limit_of_a_network_is_beyond_range(spec, options, frame, tmp_path):
    network, model_config = tiny_network(spec.partition(':')[0])
    with torch.no_grad():
        network.head[-2].bias.fill_(-100.0)  # no inverse depth at all
    weights = checkpoint_of(network, model_config, tmp_path / 'endless.pt')
    estimator = create_estimator(spec, replace(options, weights=weights))
    assert np.isposinf(estimator.estimate(frame).depth).all()


@pytest.mark.parametrize('degrees', [-5.0, 0.0, 200.0])
def test_without_a_focal_length_depth_pro_knows_nothing(degrees, options, frame, tmp_path):
    network, model_config = tiny_network('depth_pro')
    with torch.no_grad():
        network.fov.head[-1].bias.fill_(degrees)
    weights = checkpoint_of(network, model_config, tmp_path / 'odd.pt')
    estimator = create_estimator('depth_pro', replace(options, weights=weights))
    estimate = estimator.estimate(replace(frame, camera=None))
    assert np.isnan(estimate.depth).all()
    assert estimate.camera is None
    assert estimate.method == 'depth_pro (no focal length)'
    assert np.isfinite(estimator.estimate(frame).depth).all()


@pytest.mark.parametrize('name', ['student_pointmap', 'lingbot_depth'])
def test_a_batch_of_sizes_and_cameras_answers_like_single_frames_in_order(name, options, frame):
    small = Frame(1, 'camera', frame.image[:28, :40])
    frames = [frame, small, replace(frame, camera=None), zoomed(frame, 80.0)]
    estimator = create_estimator(name, options)
    for together, f in zip(estimator.estimate_batch(frames), frames, strict=True):
        np.testing.assert_allclose(together.depth, estimator.estimate(f).depth, rtol=1e-4)


@pytest.mark.parametrize(
    ('name', 'focal_px'),
    [
        ('depth_pro', 0.5 * WIDTH / np.tan(np.radians(0.5 * FOV_DEG))),
        ('student_pointmap', 0.5 * np.hypot(WIDTH, HEIGHT)),
        ('composed:student_pointmap', 0.5 * np.hypot(WIDTH, HEIGHT)),
    ],
)
def test_the_camera_is_recovered_where_none_is_known(name, focal_px, options, frame):
    estimator = create_estimator(name, options)
    assert estimator.recovers_camera
    camera = estimator.estimate(replace(frame, camera=None)).camera
    assert camera.K[0, 0] == pytest.approx(focal_px, rel=1e-3)
    assert camera.size == (WIDTH, HEIGHT)


def test_without_a_focal_length_canonical_depth_is_refused_not_guessed(options, frame):
    student = create_estimator('student_depthmap', options)
    assert not student.recovers_camera
    with pytest.raises(InputError, match='CameraInfo'):
        student.estimate(replace(frame, camera=None))


def test_what_the_network_masks_is_beyond_range(options, frame, tmp_path):
    network, model_config = tiny_network('student_pointmap')
    with torch.no_grad():
        network.mask_head.output_blocks[4].bias.fill_(-5.0)
    path = tmp_path / 'masked.pt'
    torch.save(
        {'model_config': model_config, 'model': network.to_official(network.state_dict())}, path
    )
    estimator = create_estimator('student_pointmap', replace(options, weights=str(path)))
    assert np.isposinf(estimator.estimate(frame).depth).all()


@pytest.mark.parametrize('known', [True, False])
def test_what_the_network_masks_has_a_depth_for_who_asks(known, options, frame, tmp_path):
    network, model_config = tiny_network('student_pointmap')
    with torch.no_grad():
        network.mask_head.output_blocks[4].weight.mul_(100.0)
        network.mask_head.output_blocks[4].bias.zero_()  # here a surface and there none
    path = tmp_path / 'masked.pt'
    state = network.to_official(network.state_dict())
    torch.save({'model_config': model_config, 'model': state}, path)
    estimator = create_estimator('student_pointmap', replace(options, weights=str(path)))
    frame = frame if known else replace(frame, camera=None)
    masked, whole = estimator.estimate(frame), estimator.unmasked().estimate(frame)
    sky = np.isposinf(masked.depth)
    assert 0 < sky.sum() < sky.size
    assert np.isfinite(whole.depth).all()
    np.testing.assert_array_equal(whole.depth[~sky], masked.depth[~sky])
    assert (whole.method, whole.camera.K[0, 0]) == (masked.method, masked.camera.K[0, 0])
    assert np.isposinf(estimator.estimate(frame).depth).any()  # still


@pytest.mark.parametrize('name', ['student_pointmap', 'lingbot_depth'])
def test_the_probability_of_what_is_said_of_a_pixel_is_its_confidence(
    name, options, frame, tmp_path
):
    network, model_config = tiny_network(name)
    confidences = []
    for logit in (2.0, -2.0):  # a surface, none
        with torch.no_grad():
            network.mask_head.output_blocks[4].weight.zero_()
            network.mask_head.output_blocks[4].bias.fill_(logit)
        path = tmp_path / 'masked.pt'
        state = network.to_official(network.state_dict())
        torch.save({'model_config': model_config, 'model': state}, path)
        estimator = create_estimator(name, replace(options, weights=str(path)))
        confidences.append(estimator.estimate(frame).confidence)
    for confidence in confidences:
        assert confidence.shape == (HEIGHT, WIDTH)
        np.testing.assert_allclose(confidence, 1.0 / (1.0 + np.exp(-2.0)), rtol=1e-4)


@pytest.mark.parametrize('adapter', [StudentPointMapAdapter(), LingBotDepthAdapter()])
@pytest.mark.parametrize(
    ('depth', 'mask', 'said', 'sure'),
    [
        (np.nan, 1.0, np.nan, 0.0),
        (-3.0, 1.0, np.nan, 0.0),
        (0.0, 1.0, np.nan, 0.0),
        (2.0, np.nan, np.nan, 0.0),
        (np.nan, np.nan, np.nan, 0.0),
        (-3.0, 0.25, np.inf, 0.75),
        (np.nan, 0.25, np.inf, 0.75),
        (2.0, 0.75, 2.0, 0.75),
    ],
)
def test_only_what_is_masked_is_beyond_range_and_no_number_is_unknown(
    adapter, depth, mask, said, sure, frame
):
    outputs = {
        name: np.full((HEIGHT, WIDTH), value, np.float32)
        for name, value in {'depth': depth, 'mask': mask}.items()
    }
    answer = adapter.answer(frame, outputs)
    np.testing.assert_array_equal(answer.depth, np.float32(said))
    np.testing.assert_array_equal(answer.confidence, np.float32(sure))


@pytest.mark.parametrize('name', ['student_pointmap', 'lingbot_depth', 'compact_student'])
def test_a_network_that_answers_no_numbers_knows_nothing(name, options, frame, monkeypatch):
    estimator = create_estimator(name, options)
    whole = torch.nn.Module.__call__

    def no_numbers(self, *given, **how):
        answer = whole(self, *given, **how)
        if self is not network:
            return answer
        if isinstance(answer, dict):
            return {key: torch.full_like(value, torch.nan) for key, value in answer.items()}
        return tuple(torch.full_like(value, torch.nan) for value in answer)

    with estimator._lanes.taken() as runner:
        network = runner.network
    monkeypatch.setattr(torch.nn.Module, '__call__', no_numbers)
    estimate = estimator.estimate(frame)
    assert np.isnan(estimate.depth).all()
    assert not estimate.confidence.any()


@pytest.mark.parametrize('name', ['student_depthmap', 'depth_pro'])
def test_networks_that_know_nothing_of_their_errors_give_no_confidence(name, options, frame):
    assert create_estimator(name, options).estimate(frame).confidence is None


def test_lingbot_answers_without_a_prompt_and_says_so(options, frame):
    estimator = create_estimator('lingbot_depth', options)
    assert estimator.estimate(replace(frame, prompt=None)).method == 'lingbot_depth (no prompt)'
    assert estimator.estimate(frame).method == 'lingbot_depth'


def test_the_teacher_scales_with_its_prompt(options, frame):
    teacher = create_estimator('teacher:classical', options)
    prompt = frame.prompt
    doubled = replace(
        frame, prompt=SparsePrompt(prompt.uv, 2.0 * prompt.depth, prompt.sigma, prompt.source)
    )
    once, twice = (teacher.estimate(f).depth for f in (frame, doubled))
    np.testing.assert_allclose(twice, 2.0 * once, rtol=1e-2)  # the classical prior is not exact


def test_the_teacher_without_prompt_and_camera_knows_nothing(options, frame):
    teacher = create_estimator('teacher:classical', options)
    estimate = teacher.estimate(replace(frame, prompt=None, camera=None))
    assert np.isnan(estimate.depth).all()
    assert estimate.method == 'teacher:classical:quality (no prompt)'


def test_the_prior_of_the_teacher_gives_the_camera(options, frame):
    teacher = create_estimator('teacher:student_pointmap', options)
    assert teacher.recovers_camera
    camera = teacher.estimate(replace(frame, prompt=None, camera=None)).camera
    assert camera.K[0, 0] == pytest.approx(0.5 * np.hypot(WIDTH, HEIGHT), rel=1e-3)


def test_a_monocular_network_is_aligned_to_the_prompt(options, frame):
    estimate = create_estimator('composed:student_pointmap', options).estimate(frame)
    assert estimate.method == 'composed/student_pointmap'
    prompt = frame.prompt.to_map(WIDTH, HEIGHT)
    known = np.isfinite(prompt)
    np.testing.assert_allclose(estimate.depth[known], prompt[known], rtol=1e-5)


@pytest.mark.parametrize(
    'name', ['student_depthmap', 'student_pointmap', 'lingbot_depth', 'teacher:classical']
)
def test_more_tokens_change_what_the_network_sees_not_the_size(name, options, frame, monkeypatch):
    seen = []
    for kind, entrance in ((DinoV2, 'embed_image'), (DinoV3, 'forward')):
        monkeypatch.setattr(kind, entrance, _counting(getattr(kind, entrance), seen))
    pixels = []
    for scale in (0.33, 1.0, 3.0):
        estimator = create_estimator(name, replace(options, resolution_scale=scale))
        seen.clear()
        depth = estimator.estimate(frame).depth
        assert depth.shape == (HEIGHT, WIDTH)
        assert np.isfinite(depth).all()
        pixels.append(sum(seen))
    fewer, usual, more = pixels
    assert more > 2 * usual
    assert fewer < usual or name in ('student_depthmap', 'teacher:classical')  # no smaller canvas


def _counting(entrance, seen):
    def counted(self, images, *others):
        seen.append(images.numel())
        return entrance(self, images, *others)

    return counted


@pytest.mark.parametrize(
    'name', ['student_depthmap', 'student_pointmap', 'lingbot_depth', 'teacher:classical']
)
def test_bf16_is_close_to_fp32(name, options, frame):
    exact, rounded = (
        create_estimator(name, replace(options, precision=precision)).estimate(frame)
        for precision in ('fp32', 'bf16')
    )
    assert rounded.depth.dtype == np.float32
    np.testing.assert_allclose(rounded.depth, exact.depth, rtol=0.05)
    assert rounded.method == exact.method


@pytest.mark.parametrize('name', ['lingbot_depth', 'composed:student_pointmap', 'classical'])
def test_warming_up_changes_no_answer(name, options, frame):
    options = EstimatorOptions() if name == 'classical' else options  # which has no use for others
    estimator = create_estimator(name, options)
    cold = estimator.estimate(frame).depth
    estimator.warm_up(WIDTH, HEIGHT)
    np.testing.assert_array_equal(estimator.estimate(frame).depth, cold)


def test_depth_pro_refuses_another_resolution(options):
    with pytest.raises(InputError, match='resolution_scale'):
        create_estimator('depth_pro', replace(options, resolution_scale=3.0))


def test_weights_of_another_network_are_refused(options, tmp_path):
    path = write_checkpoint('student_pointmap', tmp_path)
    with pytest.raises(InputError, match='model_config'):
        create_estimator('student_depthmap', replace(options, weights=str(path)))


@pytest.mark.parametrize(
    ('field', 'value', 'words'),
    [
        ('canvas', 'wide', 'canvas'),
        ('taps', [0, 1], 'taps'),
        ('depth', 3, 'unknown depth'),
        ('decoder_width', 0, 'decoder_width is 0'),
        ('decoder_width', 10**30, 'decoder_width is 1000'),
        ('head_width', 10**9, 'head_width is 1000000000'),
        ('widths', [16, 16, 16, 4097], r'widths\[3\] is 4097'),
        ('backbone', {'embed_dim': 24, 'heads': 2}, 'heads'),
        ('backbone', {'embed_dim': 10**9}, 'embed_dim of the backbone is 1000000000'),
    ],
)
def test_an_architecture_that_cannot_be_is_refused_by_name(field, value, words, options, tmp_path):
    network, model_config = tiny_network('student_depthmap')
    path = tmp_path / 'odd.pt'
    state = network.to_official(network.state_dict())
    torch.save({'model_config': {**model_config, field: value}, 'model': state}, path)
    with pytest.raises(InputError, match=words):
        create_estimator('student_depthmap', replace(options, weights=str(path)))


@pytest.mark.parametrize('name', [*NETWORKS, 'compact_student', 'depthvlm'])
@pytest.mark.parametrize('described', [5, 'x', [], 1.5])
def test_a_description_that_is_no_dict_is_refused(name, described):
    with pytest.raises(InputError) as refused:
        skeleton(name, described)
    assert refused.value.fault == 'checkpoint_config'


@pytest.mark.parametrize('name', NETWORKS)
@pytest.mark.parametrize('value', [10**30, 10**9, -1, None, 'x', [1, 2], {}, 1.5, True])
def test_no_number_of_a_description_can_raise_anything_else(name, value):
    network, model_config = tiny_network(name)
    state = network.to_official(network.state_dict())
    for place in places(model_config):
        with contextlib.suppress(InputError):
            path = Path('odd.pt')
            changed = with_value(model_config, place, value)
            network_from(name, Checkpoint(path, '', state, changed))


def places(description):
    """Return the keys that lead to every value."""
    found = []
    for key, value in description.items():
        found.append((key,))
        if isinstance(value, dict):
            found += [(key, *rest) for rest in places(value)]
    return found


def with_value(description, place, value):
    """Return a description with one value changed."""
    key, *rest = place
    return {**description, key: with_value(description[key], rest, value) if rest else value}


def test_a_file_of_another_repository_can_be_named(options, monkeypatch):
    asked = []
    monkeypatch.setattr(
        'metric_depth_ros.estimators.learned.loading.resolve_checkpoint',
        lambda *where: asked.append(where) or 'absent.pt',
    )
    for weights in ('someone/moge/model.pt', 'someone/moge'):
        with pytest.raises(InputError, match='absent'):
            create_estimator('student_pointmap', replace(options, weights=weights, revision='v1'))
    assert asked == [
        ('someone/moge', 'model.pt', 'v1'),
        ('someone/moge', 'student_pointmap.pt', 'v1'),
    ]


def test_the_prior_of_an_exported_teacher_is_no_exported_file(options, monkeypatch):
    opened = []
    monkeypatch.setattr(
        'metric_depth_ros.estimators.learned.loading.open_exported',
        lambda name, file, *_: opened.append((name, file)) or tiny_network(name)[0],
    )
    of_prior = f'student_pointmap={options.weights_of("student_pointmap")}'
    weights = f'teacher=teacher.onnx,{of_prior}'
    exported = replace(options, weights=weights, backend='onnx', revision='v1')
    create_estimator('teacher:student_pointmap', exported)
    assert opened == [('teacher', 'teacher.onnx')]
    weights = 'teacher=teacher.onnx,student_pointmap=prior.onnx'
    create_estimator('teacher:student_pointmap', replace(exported, weights=weights))
    assert opened[1:] == [('student_pointmap', 'prior.onnx'), ('teacher', 'teacher.onnx')]


def test_the_teacher_needs_weights_of_ones_own():
    with pytest.raises(InputError, match='unreleased'):
        create_estimator('teacher:nearest', EstimatorOptions(device='cpu'))


def test_a_device_that_is_not_there_is_refused(options):
    if torch.cuda.is_available():
        pytest.skip('this machine has CUDA')
    with pytest.raises(InputError, match='CUDA'):
        create_estimator('student_pointmap', replace(options, device='cuda'))


def _backbone():
    from transformers import Dinov2Config

    return Dinov2Config(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=2, image_size=70, patch_size=14,
        out_indices=[1, 2, 3, 4], apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip


def _save(folder, kind, config_kind, **settings):
    """Save a tiny model of transformers with its preprocessor."""
    from transformers import DPTImageProcessor

    torch.manual_seed(1)
    sizes = {
        'reassemble_hidden_size': 24, 'neck_hidden_sizes': [8, 8, 8, 8], 'fusion_hidden_size': 8,
        'head_hidden_size': 8, 'patch_size': 14,
    }  # fmt: skip
    kind(config_kind(backbone_config=_backbone(), **sizes, **settings)).save_pretrained(folder)
    DPTImageProcessor(size={'height': 56, 'width': 70}).save_pretrained(folder)
    return f'hf:{folder}'


def test_a_metric_model_of_transformers_answers(tmp_path, options, frame):
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

    spec = _save(
        tmp_path, DepthAnythingForDepthEstimation, DepthAnythingConfig,
        depth_estimation_type='metric', max_depth=20,
    )  # fmt: skip
    low = replace(options, precision='bf16')
    rounded = create_estimator(spec, low).estimate(frame)
    estimate = create_estimator(spec, options).estimate(replace(frame, prompt=None))
    np.testing.assert_allclose(rounded.depth, estimate.depth, rtol=0.1)
    assert estimate.depth.shape == (HEIGHT, WIDTH)
    assert np.isfinite(estimate.depth).all()
    assert estimate.depth.max() <= 20.0
    assert estimate.method == spec


def test_a_relative_model_of_transformers_is_refused(tmp_path, options):
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

    spec = _save(tmp_path, DepthAnythingForDepthEstimation, DepthAnythingConfig)
    with pytest.raises(InputError, match='relative'):
        create_estimator(spec, options)


@pytest.fixture(scope='module')
def prompted_model(tmp_path_factory):
    """A tiny Prompt Depth Anything, as a folder."""
    from transformers import (
        PromptDepthAnythingConfig,
        PromptDepthAnythingForDepthEstimation,
    )

    return _save(
        tmp_path_factory.mktemp('prompted'),
        PromptDepthAnythingForDepthEstimation,
        PromptDepthAnythingConfig,
        depth_estimation_type='metric',
    )


def test_prompt_depth_anything_takes_its_scale_from_the_prompt(prompted_model, options, frame):
    estimator = create_estimator(prompted_model, options)
    depth = estimator.estimate(frame).depth
    assert frame.prompt.depth.min() <= depth.min() <= depth.max() <= frame.prompt.depth.max()
    silent = estimator.estimate(replace(frame, prompt=None))
    assert np.isnan(silent.depth).all()
    assert silent.method == f'{prompted_model} (no prompt)'


def test_prompt_depth_anything_answers_as_given_the_prompt_in_meters(
    prompted_model, options, frame
):
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    from metric_depth_ros.estimators.learned.huggingface import coarse_depth

    folder = prompted_model.removeprefix('hf:')
    model = AutoModelForDepthEstimation.from_pretrained(folder).eval()
    pixels = AutoImageProcessor.from_pretrained(folder)([frame.image], return_tensors='pt')
    with torch.inference_mode():
        raw = model(**pixels, prompt_depth=torch.from_numpy(coarse_depth(frame))[None, None])
        expected = torch.nn.functional.interpolate(
            raw.predicted_depth[None], (HEIGHT, WIDTH), mode='bicubic'
        )[0, 0]
    depth = create_estimator(prompted_model, options).estimate(frame).depth
    np.testing.assert_allclose(depth, expected, rtol=1e-5)


def with_depth(frame, nearest, farthest):
    """Return a frame whose prompt spans these depths in meters."""
    prompt = frame.prompt
    depth = np.linspace(nearest, farthest, len(prompt)).astype(np.float32)
    return replace(frame, prompt=SparsePrompt(prompt.uv, depth, prompt.sigma, prompt.source))


@pytest.mark.parametrize('first', ['warm-up', 'no prompt', 'flat wall'])
def test_prompt_depth_anything_keeps_its_precision_whatever_comes_first(
    first, prompted_model, options, frame
):
    estimator = create_estimator(prompted_model, replace(options, precision='bf16'))
    if first == 'warm-up':
        estimator.warm_up(WIDTH, HEIGHT)
    elif first == 'no prompt':
        estimator.estimate(replace(frame, prompt=None))
    else:
        wall = estimator.estimate(with_depth(frame, 3.0, 3.0)).depth
        np.testing.assert_allclose(wall, 3.0, rtol=2e-3)
    assert estimator.estimate(frame).method == prompted_model


def test_far_depth_of_a_narrow_range_keeps_its_digits_in_half_precision(
    prompted_model, options, frame
):
    far = with_depth(frame, 100.0, 101.3)
    exact, rounded = (
        create_estimator(prompted_model, replace(options, precision=precision)).estimate(far).depth
        for precision in ('fp32', 'bf16')
    )
    np.testing.assert_allclose(rounded, exact, atol=0.02)  # of the 1.3 m of the prompt


def test_a_model_that_is_not_here_says_how_to_fetch_it(options, monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    with pytest.raises(InputError, match='run `hf download nobody/no-such-model`'):
        create_estimator('hf:nobody/no-such-model', options)


def test_a_folder_without_a_model_is_refused(options, tmp_path):
    with pytest.raises(InputError, match='lacks weights'):
        create_estimator(f'hf:{tmp_path}', options)


@pytest.fixture(scope='module')
def depth_pro_folder(tmp_path_factory):
    """A tiny Depth Pro of transformers, without its preprocessor."""
    from transformers import DepthProConfig, DepthProForDepthEstimation

    folder = tmp_path_factory.mktemp('hf_depth_pro')
    vit = {
        'model_type': 'dinov2', 'hidden_size': 16, 'num_hidden_layers': 2,
        'num_attention_heads': 2, 'image_size': 48, 'patch_size': 2, 'use_mask_token': False,
    }  # fmt: skip
    torch.manual_seed(1)
    config = DepthProConfig(
        fusion_hidden_size=16, patch_size=48, intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[16, 16], scaled_images_ratios=[0.25, 0.5, 1],
        scaled_images_overlap_ratios=[0.0, 0.5, 0.25], scaled_images_feature_dims=[16, 16, 16],
        use_fov_model=True, image_model_config=vit, patch_model_config=vit, fov_model_config=vit,
    )  # fmt: skip
    model = DepthProForDepthEstimation(config)
    with torch.no_grad():
        model.head.layers[-2].bias.fill_(0.5)
        last = model.fov_model.head.layers[-1]
        last.weight.zero_()
        last.bias.fill_(FOV_DEG)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope='module')
def hf_depth_pro(depth_pro_folder):
    pytest.importorskip('torchvision', reason='the preprocessor of hf: Depth Pro needs it')
    from transformers import DepthProImageProcessor

    DepthProImageProcessor(size={'height': 192, 'width': 192}).save_pretrained(depth_pro_folder)
    return f'hf:{depth_pro_folder}'


def test_a_model_that_tells_a_focal_length_takes_that_of_the_camera(hf_depth_pro, options, frame):
    estimator = create_estimator(hf_depth_pro, options)
    near, far = estimator.estimate_batch([frame, zoomed(frame, 100.0)])
    np.testing.assert_allclose(far.depth, 2.0 * near.depth, rtol=1e-4)
    assert far.camera.K[0, 0] == 100.0


def test_a_model_that_tells_a_focal_length_recovers_the_camera(hf_depth_pro, options, frame):
    estimator = create_estimator(hf_depth_pro, options)
    assert estimator.recovers_camera
    estimate = estimator.estimate(replace(frame, camera=None))
    focal_px = 0.5 * WIDTH / np.tan(np.radians(0.5 * FOV_DEG))
    assert estimate.camera.K[0, 0] == pytest.approx(focal_px, rel=1e-3)
    known = estimator.estimate(zoomed(frame, focal_px))
    np.testing.assert_allclose(known.depth, estimate.depth, rtol=1e-4)


def low_precision(spec, options):
    """Return what an estimator takes for `auto` on a GPU that has it."""
    with create_estimator(spec, options)._lanes.taken() as runner:
        return low_precision_of(runner.network)


def test_depth_pro_is_as_precise_from_transformers_as_from_here(
    depth_pro_folder, options, monkeypatch
):
    monkeypatch.setattr('transformers.AutoImageProcessor.from_pretrained', lambda *_, **how: None)
    assert low_precision(f'hf:{depth_pro_folder}', options) == DepthPro.low_precision == 'fp16'


def test_another_model_of_transformers_has_the_usual_precision(metric_model, options):
    assert low_precision(metric_model, options) == 'bf16'


class CanonicalDepth:
    """Does what the postprocessing of Depth Pro does with a field of view."""

    def post_process_depth_estimation(self, output, target_sizes):
        (_, width), half = target_sizes[0], torch.deg2rad(output['field_of_view'][0]) / 2
        focal = 0.5 * width / torch.tan(half)
        depth = output.predicted_depth[0] * focal / width
        return [{'predicted_depth': depth, 'focal_length': focal}]


def test_the_focal_length_of_the_camera_goes_before_the_one_that_a_model_tells(frame):
    from metric_depth_ros.estimators.learned.huggingface import HuggingFaceAdapter

    adapter = HuggingFaceAdapter(CanonicalDepth(), prompted=False, sees_field_of_view=True)
    outputs = {
        'depth': np.ones((HEIGHT, WIDTH), np.float32),
        'field_of_view': np.float32(FOV_DEG),
    }
    known = adapter.answer(frame, outputs)
    np.testing.assert_allclose(known.depth, 50.0 / WIDTH, rtol=1e-5)
    told = adapter.answer(replace(frame, camera=None), outputs)
    assert told.camera.K[0, 0] == pytest.approx(0.5 * WIDTH / np.tan(np.radians(FOV_DEG / 2)))


def _half(folder):
    path = folder / 'model.safetensors'
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _of_another_size(folder):
    _configured(folder, head_hidden_size=16)


def _of_another_type(folder):
    _configured(folder, head_hidden_size='x')


def _configured(folder, **values):
    path = folder / 'config.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def _no_preprocessor(folder):
    (folder / 'preprocessor_config.json').write_text('[]')


@pytest.fixture
def metric_model(tmp_path):
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

    return _save(
        tmp_path, DepthAnythingForDepthEstimation, DepthAnythingConfig,
        depth_estimation_type='metric',
    )  # fmt: skip


@pytest.mark.parametrize('damage', [_half, _of_another_size, _of_another_type, _no_preprocessor])
def test_a_damaged_model_of_transformers_is_refused(damage, metric_model, options, tmp_path):
    damage(tmp_path)
    with pytest.raises(InputError, match='expected a depth-estimation model'):
        create_estimator(metric_model, options)


@pytest.mark.parametrize(
    ('file', 'settings', 'named'),
    [
        ('preprocessor_config.json', {'size': {'height': 10**6, 'width': 70}}, 'size.height'),
        ('preprocessor_config.json', {'size': 1e9}, 'size'),
        ('preprocessor_config.json', {'crop_size': [56, 8193]}, 'crop_size'),
        ('preprocessor_config.json', {'size': {'height': float('nan')}}, 'size.height'),
        ('processor_config.json', {'image_processor': {'size': 8193}}, 'size'),
    ],
)
def test_a_preprocessor_that_makes_huge_images_is_refused(
    file, settings, named, metric_model, options, tmp_path
):
    path = tmp_path / file
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**known, **settings}))
    said = rf'{named} in \S*{file} is \S+, expected at most 8192 '
    with pytest.raises(InputError, match=said) as refused:
        create_estimator(metric_model, options)
    assert refused.value.fault == 'checkpoint_config'


def test_a_preprocessor_may_make_images_as_large_as_any_are(metric_model, options, tmp_path):
    path = tmp_path / 'preprocessor_config.json'
    settings = {**json.loads(path.read_text()), 'size': {'height': 8192, 'width': 70}}
    path.write_text(json.dumps(settings))
    assert create_estimator(metric_model, options).name == metric_model


def test_a_model_of_transformers_with_nan_weights_is_refused(metric_model, options, tmp_path):
    path = tmp_path / 'model.safetensors'
    state = load_file(path)
    state['head.conv3.weight'][:] = torch.nan
    save_file(state, path, {'format': 'pt'})
    with pytest.raises(InputError, match='NaN or infinite weights: 1'):
        create_estimator(metric_model, options)
