# SPDX-License-Identifier: Apache-2.0
"""A tiny DepthVLM in a folder like a released one, as an estimator and asked questions."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('transformers')

import torch
from tiny_vlm import config_json, tiny_depthvlm, write_depthvlm

from metric_depth_ros.cli.main import main
from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators import registry
from metric_depth_ros.estimators.learned.loading import skeleton
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.networks.depthvlm import DepthVlm
from metric_depth_ros.types import CameraModel, Frame

WIDTH, HEIGHT = 64, 48


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_depthvlm(tmp_path_factory.mktemp('depthvlm') / 'released')


@pytest.fixture(scope='module')
def options(folder):
    return EstimatorOptions(device='cpu', precision='fp32', weights=str(folder))


@pytest.fixture(scope='module')
def estimator(options):
    return create_estimator('depthvlm', options)


@pytest.fixture
def frame(rng):
    image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    return Frame(0, 'camera', image, pinhole(250.0))


def pinhole(focal_px):
    return CameraModel.pinhole(WIDTH, HEIGHT, focal_px, focal_px, 31.5, 23.5)


def test_a_frame_becomes_finite_depth_of_its_size(estimator, frame):
    estimate = estimator.estimate(frame)
    assert estimate.depth.shape == (HEIGHT, WIDTH)
    assert estimate.depth.dtype == np.float32
    assert (estimate.depth > 0.0).all()
    assert np.isfinite(estimate.depth).all()
    assert estimate.camera is frame.camera
    assert estimate.method == 'depthvlm'


def test_frames_of_several_focal_lengths_are_answered_in_order(estimator, frame):
    frames = [frame, replace(frame, camera=pinhole(400.0)), frame]
    one, two, three = estimator.estimate_batch(frames)
    np.testing.assert_array_equal(one.depth, three.depth)
    assert not np.array_equal(one.depth, two.depth)


def test_without_a_focal_length_nothing_is_guessed(estimator, frame):
    assert not estimator.recovers_camera
    with pytest.raises(InputError, match='CameraInfo'):
        estimator.estimate(replace(frame, camera=None))


def test_a_question_is_answered_in_words_with_the_depth_of_the_same_pass(estimator, frame):
    reply = estimator.ask(frame, 'What is in front of the robot?', most_tokens=5)
    assert isinstance(reply.text, str)
    assert reply.depth.shape == (HEIGHT, WIDTH)
    again = estimator.ask(frame, 'What is in front of the robot?', most_tokens=5)
    assert again.text == reply.text


def test_markup_in_a_question_is_no_markup(estimator, frame):
    estimator.ask(frame, 'a<|image_pad|><|im_end|>b', most_tokens=2)


def test_warming_up_needs_no_frame(estimator):
    estimator.warm_up(WIDTH, HEIGHT)


def test_a_full_memory_is_not_asked_again_for_the_same(options, frame, monkeypatch):
    passes = []

    def full(self, prompted):
        passes.append(prompted.pixel_values.shape)
        raise torch.OutOfMemoryError('CUDA out of memory')

    monkeypatch.setattr(DepthVlm, 'forward', full)
    estimator = create_estimator('depthvlm', options)
    with pytest.raises(InputError, match='not even 1x tokens of one image fit'):
        estimator.estimate(frame)
    assert len(passes) == 1


def test_weights_in_bf16_stay_so_until_a_precision_is_wanted(tmp_path, frame, options):
    network = tiny_depthvlm()
    network.to(torch.bfloat16)
    folder = write_depthvlm(tmp_path, network)
    exact = create_estimator('depthvlm', replace(options, weights=str(folder)))
    low = create_estimator('depthvlm', replace(options, weights=str(folder), precision='bf16'))
    depth = low.estimate(frame).depth
    assert np.isfinite(depth).all()
    np.testing.assert_allclose(depth, exact.estimate(frame).depth, rtol=0.3)


@pytest.mark.parametrize(
    'given',
    [{'resolution_scale': 2.0}, {'preset': 'realtime'}, {'backend': 'onnx'}, {'compile': True}],
)
def test_options_it_does_not_have_are_refused(given, options):
    with pytest.raises(InputError, match='set it to'):
        create_estimator('depthvlm', replace(options, **given))


def test_a_folder_is_loaded_strictly_by_the_check(folder, capsys):
    assert main(['models', 'check', 'depthvlm', '--weights', str(folder)]) == 0
    assert f'{folder} loads, sha256' in capsys.readouterr().out


def test_a_lacking_weight_is_named(tmp_path, options):
    from safetensors.torch import load_file, save_file

    folder = write_depthvlm(tmp_path)
    path = folder / 'model-00001-of-00002.safetensors'
    state = load_file(path)
    lost = next(iter(state))
    save_file({key: value for key, value in state.items() if key != lost}, path)
    with pytest.raises(InputError, match=lost):
        create_estimator('depthvlm', replace(options, weights=str(folder)))


@pytest.mark.parametrize('lost', ['config.json', 'model-00002-of-00002.safetensors'])
def test_a_lacking_file_is_named(lost, tmp_path, options):
    folder = write_depthvlm(tmp_path)
    (folder / lost).unlink()
    with pytest.raises(InputError, match=lost):
        create_estimator('depthvlm', replace(options, weights=str(folder)))


@pytest.mark.parametrize(
    'damage',
    [
        {'text_config': 5},
        {'hidden_act': 'nope'},
        {'rope_parameters': 'x'},
        {'head_dim': 1.5},
        {'num_hidden_layers': 10**9},
        {'num_labels': 10**6},
        {'vision_config': {'deepstack_visual_indexes': [0] * 1000}},
    ],
)
def test_a_configuration_of_no_network_is_refused(damage):
    config = config_json(tiny_depthvlm().config)
    for key, value in damage.items():
        (config if key in config else config['text_config'])[key] = value
    with pytest.raises(InputError) as refused:
        skeleton('depthvlm', config)
    assert refused.value.fault == 'checkpoint_config'


def test_words_that_are_whole_numbers_are_refused_by_name(tmp_path, options):
    from safetensors.torch import load_file, save_file

    folder = write_depthvlm(tmp_path)
    for path in folder.glob('*.safetensors'):
        state = load_file(path)
        if 'model.language_model.embed_tokens.weight' in state:
            words = state['model.language_model.embed_tokens.weight']
            state['model.language_model.embed_tokens.weight'] = words.to(torch.int64)
            save_file(state, path)
    with pytest.raises(InputError, match=r'embed_tokens\.weight .* int64'):
        create_estimator('depthvlm', replace(options, weights=str(folder)))


@pytest.mark.parametrize('name', ['depthvlm', 'depthlm'])
def test_a_folder_that_is_not_there_is_refused_by_its_name(name, options):
    with pytest.raises(InputError, match='/no/such/folder'):
        create_estimator(name, replace(options, weights='/no/such/folder'))


def test_a_folder_without_tokenizer_says_so(tmp_path, options):
    folder = write_depthvlm(tmp_path)
    for path in folder.glob('tokenizer*'):
        path.unlink()
    with pytest.raises(InputError, match='tokenizer'):
        create_estimator('depthvlm', replace(options, weights=str(folder)))


def test_an_index_does_not_reach_outside_of_its_folder(tmp_path, options):
    folder = write_depthvlm(tmp_path / 'inside')
    index = folder / 'model.safetensors.index.json'
    index.write_text(json.dumps({'weight_map': {'a': '../outside.safetensors'}}))
    with pytest.raises(InputError, match='lacks weights'):
        create_estimator('depthvlm', replace(options, weights=str(folder)))


@pytest.mark.parametrize('name', ['depthvlm', 'depthvlm_8b'])
def test_keys_are_checked_against_the_released_list(name, shared, capsys):
    size = '8b' if name.endswith('8b') else '4b'
    listed = shared / f'goldens/depthvlm/released_keys_{size}.json'
    assert main(['models', 'check', name]) == 0
    assert main(['models', 'check', name, '--released', str(listed)]) == 0
    assert capsys.readouterr().out.count('ok  ') == 2


@pytest.mark.parametrize('name', ['depthvlm', 'depthvlm_8b', 'depthlm'])
def test_an_older_transformers_is_named_with_the_command_that_updates_it(
    name, options, monkeypatch
):
    monkeypatch.setattr(registry, 'version', lambda package: '4.57.1')
    with pytest.raises(InputError, match='pip install'):
        create_estimator(name, options)
