# SPDX-License-Identifier: Apache-2.0
"""PromptDA's injection of a prompt, from transformers under the authors' names."""

import json

import pytest
import torch
from official_weights import official_state

from metric_depth_ros.conformance.promptda_fusion import (
    PromptFusionBlock,
    PromptHead,
    PromptHeadConfig,
    denormalize_depth,
    normalize_prompt,
)
from metric_depth_ros.networks.checkpoints import load_strict, released_keys

HEAD = PromptHeadConfig(in_channels=20, features=12, out_channels=(8, 12, 16, 20))


def test_keys_are_the_authors(shared):
    folder = shared / 'goldens/algorithms/promptda_fusion'
    config = json.loads((folder / 'config.json').read_text())

    for network, keys in (
        (PromptFusionBlock(config['block_features']), config['block_keys']),
        (PromptHead(HEAD), config['head_keys']),
    ):
        assert released_keys(network) == {key: tuple(shape) for key, shape in keys.items()}


@pytest.mark.parametrize('build', [lambda: PromptFusionBlock(4), lambda: PromptHead(HEAD)])
def test_loads_official_weights_and_gives_them_back(build):
    state = official_state(build())
    network = build()

    load_strict(network, state)

    returned = official_state(network)
    assert returned.keys() == state.keys()
    assert all(torch.equal(returned[key], state[key]) for key in state)


@torch.inference_mode()
def test_a_prompt_of_zeros_is_not_the_same_as_no_prompt():
    block = PromptFusionBlock(4)
    features = torch.randn(1, 4, 6, 6)

    assert not torch.equal(block(features), block(features, prompt=torch.zeros(1, 1, 9, 9)))


@torch.inference_mode()
def test_a_last_layer_of_zeros_makes_a_prompt_count_for_nothing():
    block = PromptFusionBlock(4)
    state = official_state(block)
    for kind in ('weight', 'bias'):
        state[f'resConfUnit_depth.4.{kind}'] = torch.zeros_like(
            state[f'resConfUnit_depth.4.{kind}']
        )
    load_strict(block, state)
    features = torch.randn(1, 4, 6, 6)

    assert torch.equal(block(features), block(features, prompt=torch.rand(1, 1, 9, 9)))


def test_normalization_is_per_sample_and_inverts():
    prompt = torch.tensor([[1.0, 3.0], [10.0, 50.0]]).reshape(2, 1, 1, 2)

    normalized, nearest, farthest = normalize_prompt(prompt)

    assert normalized.flatten().tolist() == [0, 1, 0, 1]
    assert torch.equal(denormalize_depth(normalized, nearest, farthest), prompt)
