# SPDX-License-Identifier: Apache-2.0
"""DINOv2: transformers' blocks, the authors' position rule and names."""

import pytest
import torch
from official_weights import official_state
from torch.nn.functional import interpolate
from transformers import Dinov2Model

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.backbones.dinov2 import (
    DinoV2,
    DinoV2Config,
    find_attention_names,
    named_config,
    translate,
)
from metric_depth_ros.networks.checkpoints import load_strict

TINY = DinoV2Config(embed_dim=24, depth=3, num_heads=2, native_grid=5)

TRANSFORMERS_4 = (
    'attention.attention.query',
    'attention.attention.key',
    'attention.attention.value',
    'attention.output.dense',
)
TRANSFORMERS_5 = ('attention.q_proj', 'attention.k_proj', 'attention.v_proj', 'attention.o_proj')


@pytest.fixture
def vit():
    torch.manual_seed(1)
    network = DinoV2(TINY).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@torch.inference_mode()
def test_is_the_network_of_transformers_on_its_native_grid(vit):
    reference = Dinov2Model(vit.embeddings.config).eval()
    reference.embeddings, reference.layernorm = vit.embeddings, vit.norm
    reference.encoder.layer = vit.blocks
    image = torch.randn(2, 3, 70, 70)

    tokens, _ = vit(image)

    assert torch.equal(tokens, reference(image).last_hidden_state)


@torch.inference_mode()
def test_taps_are_raw_outputs_of_the_blocks_in_the_order_asked_for(vit):
    image = torch.randn(1, 3, 28, 42)

    tokens, (last, first) = vit(image, taps=(2, 0))

    assert torch.equal(vit.norm(last), tokens)
    assert torch.equal(first, vit.blocks[0](vit.embed_image(image)))


def test_positions_are_stored_ones_on_the_native_grid(vit):
    assert vit.position_embedding(5, 5) is vit.embeddings.position_embeddings


def test_positions_elsewhere_are_sampled_with_the_offset_scale(vit):
    stored = vit.embeddings.position_embeddings[:, 1:].reshape(1, 5, 5, -1).permute(0, 3, 1, 2)
    factors = ((4 + 0.1) / 5, (7 + 0.1) / 5)
    expected = interpolate(stored, scale_factor=factors, mode='bicubic')
    by_size = interpolate(stored, size=(4, 7), mode='bicubic')

    positions = vit.position_embedding(4, 7)

    assert torch.equal(positions[:, :1], vit.embeddings.position_embeddings[:, :1])
    assert torch.equal(positions[0, 1:], expected[0].flatten(1).T)
    assert (positions[0, 1:] - by_size[0].flatten(1).T).abs().max() > 1e-2


@pytest.mark.parametrize('side', range(1, 90))
def test_every_grid_gets_as_many_positions_as_patches(side):
    config = DinoV2Config(embed_dim=2, depth=1, num_heads=1)
    vit = DinoV2(config)

    assert vit.position_embedding(side, 91 - side).shape == (1, 1 + side * (91 - side), 2)


@torch.inference_mode()
@pytest.mark.parametrize('takes_mask', [True, False])
def test_a_masked_token_is_as_if_it_were_not_there(vit, takes_mask):
    vit._takes_mask = vit._takes_mask and takes_mask
    tokens = torch.randn(2, 9, 24)
    keep = torch.ones(2, 9, dtype=torch.bool)
    keep[0, 6:] = False

    masked = vit.run_blocks(tokens, (0, 2), keep)

    for output, alone in zip(masked, vit.run_blocks(tokens[:1, :6], (0, 2)), strict=True):
        torch.testing.assert_close(output[:1, :6], alone)
    for output, alone in zip(masked, vit.run_blocks(tokens[1:], (0, 2)), strict=True):
        torch.testing.assert_close(output[1:], alone)


def official_names(depth, width):
    """Return a state as Meta publishes it."""
    shapes = {
        'cls_token': (1, 1, width),
        'pos_embed': (1, 26, width),
        'mask_token': (1, width),
        'patch_embed.proj.weight': (width, 3, 14, 14),
        'patch_embed.proj.bias': (width,),
        'norm.weight': (width,),
        'norm.bias': (width,),
    }
    block = {
        'norm1': (width,),
        'attn.qkv': (3 * width, width),
        'attn.proj': (width, width),
        'norm2': (width,),
        'mlp.fc1': (4 * width, width),
        'mlp.fc2': (width, 4 * width),
    }
    for index in range(depth):
        for name, shape in block.items():
            shapes[f'blocks.{index}.{name}.weight'] = shape
            shapes[f'blocks.{index}.{name}.bias'] = shape[:1]
        for scale in (1, 2):
            shapes[f'blocks.{index}.ls{scale}.gamma'] = (width,)
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def test_loads_official_weights_and_gives_them_back(vit):
    state = official_names(TINY.depth, TINY.embed_dim)

    load_strict(vit, state)

    returned = official_state(vit)
    assert returned.keys() == state.keys()
    assert all(torch.equal(returned[key], state[key]) for key in state)


@pytest.mark.parametrize('names', [TRANSFORMERS_4, TRANSFORMERS_5])
def test_names_of_both_versions_of_transformers_are_found_and_inverted(names):
    state = official_names(2, 8)
    ours = translate(state, names, to_official=False)
    block = {key.removeprefix('blocks.0.') for key in ours if key.startswith('blocks.0.')}

    assert find_attention_names(block) == names
    assert torch.equal(
        torch.cat([ours[f'blocks.1.{name}.weight'] for name in names[:3]]),
        state['blocks.1.attn.qkv.weight'],
    )
    back = translate(ours, names, to_official=True)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_a_version_with_other_names_is_named():
    with pytest.raises(RuntimeError, match=r'attention\.qkv\.weight'):
        find_attention_names(['norm1.weight', 'attention.qkv.weight'])


def test_a_backbone_is_known_by_name():
    assert named_config('dinov2_vitl14') == DinoV2Config(1024, 24, 16)
    with pytest.raises(InputError, match='dinov2_vitg14'):
        named_config('dinov2_vitg14')


@pytest.mark.parametrize(
    'shape', [(24, 3, 5), (24, 0, 2), (24, 10**9, 2), (0, 3, 2), (24, 3, 0), (24, 3, -2)]
)
def test_a_shape_that_cannot_be_built_is_refused(shape):
    with pytest.raises(InputError) as refused:
        DinoV2Config(*shape)

    assert refused.value.fault == 'checkpoint_config'
