# SPDX-License-Identifier: Apache-2.0
"""What a configuration of transformers may ask for."""

import json

import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.config_limits import refuse_excess


@pytest.mark.parametrize(
    ('config', 'key'),
    [
        ({'num_hidden_layers': 257}, 'num_hidden_layers'),
        ({'vision_config': {'depth': 257}}, 'depth'),
        ({'depths': [100, 100, 100]}, 'depths'),
        ({'stage_num_blocks': [1, 64]}, 'stage_num_blocks'),
        ({'stage_numb_of_layers': [65]}, 'stage_numb_of_layers'),
        ({'num_experts': 1000}, 'num_experts'),
        ({'focal_levels': [1 << 16]}, 'focal_levels'),
        ({'text_config': {'num_labels': 65_537}}, 'num_labels'),
        ({'head_dim': 100_000}, 'head_dim'),
        ({'anything': -(1 << 40)}, 'anything'),
        ({'anything': [[0] * 129]}, 'anything'),
        ({'anything': {str(number): 0 for number in range(65_537)}}, 'anything'),
        ({'\x1b[2J': 1 << 40}, '2J'),
    ],
)
def test_more_than_any_network_has_is_refused_by_name(config, key):
    with pytest.raises(InputError, match=key) as refused:
        refuse_excess(config, 'config.json')
    assert refused.value.fault == 'checkpoint_config'
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


def test_what_networks_have_is_accepted():
    refuse_excess(
        {
            'num_labels': 21_841,
            'id2label': {str(number): 'thing' for number in range(21_841)},
            'depths': [3, 3, 27, 3],
            'layer_types': ['full_attention'] * 80,
            'quantization_config': {'ignore': ['a.layer'] * 500},
            'rope_theta': 1_000_000_000,
            'vocab_size': 262_144,
            'max_position_embeddings': 1_048_576,
            'image_mean': [0.5, 0.5, 0.5],
            'vision_feature_layer': -2,
            'tie_word_embeddings': True,
            'head_dim': None,
            'layers': 'all',
        },
        'config.json',
    )


@pytest.mark.parametrize('size', ['4b', '8b'])
def test_the_released_configurations_are_accepted(size):
    torch = pytest.importorskip('torch')
    pytest.importorskip('transformers')
    from metric_depth_ros.networks.depthvlm import DepthVlm, DepthVlmConfig

    with torch.device('meta'):
        config = DepthVlm(DepthVlmConfig.released(size)).language.config
    refuse_excess(json.loads(config.to_json_string(use_diff=False)), size)


def test_every_depth_model_of_transformers_is_accepted():
    pytest.importorskip('transformers')
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES as DEPTH_MODELS,
    )

    for kind in (*DEPTH_MODELS, 'llava', 'qwen2_5_vl'):
        refuse_excess(json.loads(CONFIG_MAPPING[kind]().to_json_string(use_diff=False)), kind)
