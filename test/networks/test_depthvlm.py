# SPDX-License-Identifier: Apache-2.0
"""DepthVLM is the authors' network: keys, sizes, texts and values."""

import json

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('transformers')

import torch
from tiny_vlm import config_json, end_tokens, prompted, tiny_depthvlm

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks import depthvlm_images
from metric_depth_ros.networks.checkpoints import parameter_count, released_keys
from metric_depth_ros.networks.depthvlm import DepthVlm, DepthVlmConfig
from metric_depth_ros.networks.depthvlm_head import MlpHeadConfig
from metric_depth_ros.networks.depthvlm_images import (
    canonical_size,
    network_size,
    see,
    staged_size,
)
from metric_depth_ros.networks.depthvlm_text import END_TOKEN, rendered


@pytest.mark.parametrize(
    ('size', 'keys', 'parameters'), [('4b', 776, 4_472_961_729), ('8b', 812, 8_806_598_065)]
)
def test_keys_and_shapes_are_the_released_ones(shared, size, keys, parameters):
    listed = json.loads((shared / f'goldens/depthvlm/released_keys_{size}.json').read_text())
    with torch.device('meta'):
        network = DepthVlm(DepthVlmConfig.released(size))

    ours = {key: list(shape) for key, shape in released_keys(network).items()}

    assert ours == listed['keys']
    assert len(ours) == keys
    assert parameter_count(network) == parameters


def test_sizes_are_those_of_the_authors_tools(shared):
    listed = json.loads((shared / 'goldens/depthvlm/preprocess_sizes.json').read_text())
    for case in listed['sizes']:
        canonical = canonical_size((case['w'], case['h']), case['fx'])
        staged = staged_size(canonical)
        assert list(canonical) == case['canonical_wh']
        assert list(staged[::-1]) == case['stage1_hw']
        assert list(network_size(staged)[::-1]) == case['network_hw']
        assert list(network_size(canonical)[::-1]) == case['network_hw_if_stage1_skipped']


def test_texts_are_those_of_the_authors_template(shared):
    chat = json.loads((shared / 'goldens/depthvlm/chat.json').read_text())
    assert rendered() == chat['text']
    assert rendered(image_tokens=80) == chat['text_with_80_image_tokens']
    reply = 'OK, I will estimate the depth map of this image.'
    assert f'{rendered()}{reply}{END_TOKEN}\n' == chat['stage2_text']


def test_depth_and_text_are_of_one_pass(monkeypatch):
    network = tiny_depthvlm()
    inputs = prompted(network, rows=3, columns=4)
    seen = []
    hook = network.language.model.visual.register_forward_hook(lambda *_: seen.append(1))
    with torch.inference_mode():
        alone = network(inputs)[0].depth
        seen.clear()
        (output,), (answer,) = network.respond(inputs, 6, frozenset())
    hook.remove()
    assert len(seen) == 1
    assert torch.equal(alone, output.depth)
    assert len(answer) == 6


def test_an_answer_is_what_transformers_generates():
    network = tiny_depthvlm()
    inputs = prompted(network, rows=2, columns=5)
    with torch.inference_mode():
        _, (answer,) = network.respond(inputs, 8, end_tokens=frozenset())
        generated = network.language.generate(
            **inputs._asdict(),
            mm_token_type_ids=(inputs.input_ids == network.image_token).int(),
            do_sample=False,
            max_new_tokens=8,
            eos_token_id=None,
        )
    assert generated[0, inputs.input_ids.shape[1] :].tolist() == answer


def test_an_answer_ends_with_its_end_token():
    network = tiny_depthvlm()
    inputs = prompted(network, rows=2, columns=2)
    with torch.inference_mode():
        _, (answer,) = network.respond(inputs, 8, frozenset())
        _, (cut,) = network.respond(inputs, 8, end_tokens(answer))
    assert answer[: len(cut)] == cut
    assert len(cut) < len(answer)


@pytest.mark.parametrize('mode', ['llm_last', 'concat', 'sum'])
def test_the_ablation_heads_answer_for_their_own_pixels(mode):
    network = tiny_depthvlm(MlpHeadConfig(16, mode))
    with torch.inference_mode():
        depth = network(prompted(network, rows=2, columns=3))[0].depth
    assert depth.shape == (64, 96)
    assert (depth > 0).all()


def test_casting_keeps_the_frequencies_of_positions_exact():
    network = tiny_depthvlm()
    exact = network.language.model.language_model.rotary_emb.inv_freq.clone()
    network.to(torch.bfloat16)
    rotary = network.language.model.language_model.rotary_emb
    assert network.language.lm_head.weight.dtype == torch.bfloat16
    assert rotary.inv_freq.dtype == torch.float32
    assert torch.equal(rotary.inv_freq, exact)


def test_a_head_is_read_from_its_configuration():
    config = tiny_depthvlm(MlpHeadConfig(16, 'sum')).config
    again = DepthVlmConfig.from_model_config(config_json(config))
    assert again.head == config.head
    assert again.tied == config.tied


@pytest.mark.parametrize(
    'values',
    [
        {'model_type': 'llava', 'text_config': {}, 'vision_config': {}},
        {'model_type': 'qwen3_vl'},
        {'text_config': {}, 'vision_config': {}, 'depth_head_type': 'cnn'},
        {
            'text_config': {},
            'vision_config': {},
            'depth_head_type': 'mlp',
            'depth_head_feature_mode': 'max',
        },
        {'text_config': 5, 'vision_config': {}},
        {'text_config': {}, 'vision_config': None},
        {'text_config': {'num_hidden_layers': 10**9}, 'vision_config': {}},
        {'text_config': {'hidden_size': 10**30}, 'vision_config': {}},
        {'text_config': {}, 'vision_config': {'depth': 10**9}},
        {'text_config': {}, 'vision_config': {}, 'depth_head_out_channels': [1, 2]},
        {'text_config': {}, 'vision_config': {}, 'depth_head_out_channels': 5},
        {'text_config': {}, 'vision_config': {}, 'depth_head_features': 10**9},
        {
            'text_config': {},
            'vision_config': {},
            'depth_head_type': 'mlp',
            'depth_head_mlp_hidden': '64',
        },
    ],
)
def test_another_configuration_is_refused(values):
    with pytest.raises(InputError) as refused:
        DepthVlmConfig.from_model_config(values)
    assert refused.value.fault == 'checkpoint_config'


@pytest.mark.parametrize('focal_px', [0.0, -1.0, np.inf, 1e-4, 1e7])
def test_a_focal_length_that_is_none_is_refused(focal_px):
    with pytest.raises(InputError, match='focal length'):
        see(np.zeros((48, 64, 3), np.uint8), focal_px)


def test_an_image_far_larger_than_the_network_sees_is_refused_before_it_is_made(monkeypatch):
    image = np.zeros((480, 640, 3), np.uint8)
    least = 1000 * (640 * 480 / 2 / 16_777_216) ** 0.5
    monkeypatch.setattr(depthvlm_images, 'Image', None)

    with pytest.raises(AttributeError):  # it goes on to resize
        see(image, least * 1.01)
    with pytest.raises(InputError, match=r'camera of 640x480 .* 94 px.*CameraInfo') as refused:
        see(image, 94.0)

    assert least > 94.0
    assert refused.value.fault == 'camera_focal'
