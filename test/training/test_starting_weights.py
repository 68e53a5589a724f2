# SPDX-License-Identifier: Apache-2.0
"""Weights to begin with: a whole network's, one without prompts, or a transformer's alone."""

import pytest
import torch
from official_weights import official_state
from safetensors.torch import save_file
from tiny_checkpoints import tiny_network

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.compact_teacher import INPUT_CHANNELS
from metric_depth_ros.training.recipes import create_recipe
from metric_depth_ros.training.starting_weights import start_from

PROMPT, BACKBONE = 'prompt_branches.', 'encoder.patch_encoder.'


@pytest.fixture
def teacher():
    """A recipe, and its network with given weights."""
    network, shape = tiny_network('teacher')
    return create_recipe('teacher', shape, {'prior': 'nearest'}, 'test'), network


def started(recipe, path):
    torch.manual_seed(11)
    network = recipe.build()
    start_from(network, path, recipe.new_prefixes, recipe.backbone_prefixes)
    return network.state_dict()


def written(folder, state):
    path = folder / 'given.safetensors'
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def test_whole_network_is_taken(teacher, tmp_path):
    recipe, given = teacher
    state = started(recipe, written(tmp_path, official_state(given)))
    assert all(torch.equal(state[name], tensor) for name, tensor in given.state_dict().items())


def test_network_without_prompts_keeps_its_own_branches(teacher, tmp_path):
    recipe, given = teacher
    official = official_state(given)
    kept = {name: tensor for name, tensor in official.items() if not name.startswith(PROMPT)}
    state = started(recipe, written(tmp_path, kept))
    for name, tensor in given.state_dict().items():
        if not name.startswith(PROMPT):
            assert torch.equal(state[name], tensor)


def test_transformer_alone_is_taken(teacher, tmp_path):
    recipe, given = teacher
    official = official_state(given)
    of_transformer = {
        name.removeprefix(BACKBONE): tensor
        for name, tensor in official.items()
        if name.startswith(BACKBONE)
    }
    state = started(recipe, written(tmp_path, of_transformer))
    own = given.state_dict()
    same = {name: torch.equal(state[name], own[name]) for name in own}
    assert all(same[name] for name in own if name.startswith(BACKBONE))
    assert not same['head.0.weight']


def test_masked_depth_begins_with_a_dinov2_under_its_authors_names(tmp_path):
    transformer = 'encoder.backbone.'
    given, shape = tiny_network('lingbot_depth')
    recipe = create_recipe('masked', shape, {}, 'test')
    dinov2 = {
        name.removeprefix(transformer): tensor
        for name, tensor in official_state(given).items()
        if name.startswith(transformer) and 'depth_patch_embed' not in name
    }
    assert {'cls_token', 'pos_embed', 'mask_token', 'blocks.0.attn.qkv.weight'} <= dinov2.keys()
    path = tmp_path / 'dinov2.pth'
    torch.save(dinov2, path)

    state = started(recipe, path)

    same = {name: torch.equal(state[name], own) for name, own in given.state_dict().items()}
    assert all(same[name] for name in same if name.startswith(transformer))
    assert not same['encoder.depth_patch_embed.proj.weight']
    assert not same['neck.input_blocks.0.weight']


def test_transformer_with_the_keys_of_transformers_is_refused(teacher, tmp_path):
    from transformers import DINOv3ViTModel

    from metric_depth_ros.networks.backbones.dinov3 import _transformers_config

    recipe, given = teacher
    of_hub = DINOv3ViTModel(_transformers_config(given.encoder.patch_encoder.config))
    with pytest.raises(InputError, match=r'does not fit Teacher: \d+ unexpected'):
        started(recipe, written(tmp_path, of_hub.state_dict()))


def test_deeper_compact_teacher_begins_by_answering_as_the_shallower_did(tmp_path):
    shape = {'widths': [4, 6, 8], 'rounds': 0}
    shallow, deep = (
        create_recipe('compact', {**shape, 'blocks': blocks}, {}, 'test')
        for blocks in ([1, 1, 1], [1, 3, 2])
    )
    given = shallow.build()
    for parameter in given.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    begun = deep.build()

    start_from(begun, written(tmp_path, given.state_dict()), deep.new_prefixes, ())

    inputs, guess = torch.randn(1, INPUT_CHANNELS, 8, 12), torch.randn(1, 1, 16, 24)
    torch.testing.assert_close(begun(inputs, guess).log_depth, given(inputs, guess).log_depth)


def test_compact_teacher_without_the_first_block_of_a_level_is_refused(tmp_path):
    recipe = create_recipe('compact', {'widths': [4, 6], 'blocks': [1, 2]}, {}, 'test')
    state = recipe.build().state_dict()
    lacking = {n: tensor for n, tensor in state.items() if not n.startswith('encoder.1.0.')}

    with pytest.raises(InputError, match=r'missing \(encoder\.1\.0'):
        started(recipe, written(tmp_path, lacking))


def test_network_without_its_head_is_refused(teacher, tmp_path):
    recipe, given = teacher
    official = official_state(given)
    headless = {name: tensor for name, tensor in official.items() if not name.startswith('head.')}
    path = written(tmp_path, headless)
    with pytest.raises(InputError, match=r'missing \(head'):
        started(recipe, path)


def test_weights_of_another_width_are_refused(teacher, tmp_path):
    recipe, given = teacher
    wider = {name: torch.cat([tensor, tensor]) for name, tensor in official_state(given).items()}
    path = written(tmp_path, wider)
    with pytest.raises(InputError, match=r'does not fit|another shape'):
        started(recipe, path)
