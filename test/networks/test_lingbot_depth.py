# SPDX-License-Identifier: Apache-2.0
"""LingBot-Depth: its released architecture, its depth tokens, its checkpoints' spellings."""

import json
import logging
import math
from dataclasses import replace

import pytest
import torch
from official_weights import official_state

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.checkpoints import (
    Checkpoint,
    load_strict,
    parameter_count,
    released_keys,
)
from metric_depth_ros.networks.lingbot_depth import LingBotDepth, LingBotDepthConfig, usable_state

DIMS = (24, 12, 8, 6, 4)
OURS, OTHER = (
    f'encoder.backbone.{name}.proj.' for name in ('depth_patch_embed', 'depth_mask_patch_embed')
)


def stack(dim_in, dim_out=None):
    return {
        'dim_in': list(dim_in),
        'dim_out': [None, None, None, None, dim_out],
        'dim_res_blocks': list(DIMS),
        'num_res_blocks': [0, 1, 1, 1, 0],
        'res_block_in_norm': 'none',
        'res_block_hidden_norm': 'none',
        'resamplers': ['conv_transpose', 'conv_transpose', 'conv_transpose', 'bilinear'],
    }


BACKBONE = {'embed_dim': 24, 'depth': 3, 'num_heads': 2, 'native_grid': 5}
MODEL_CONFIG = {
    'encoder': {
        'backbone': BACKBONE,
        'intermediate_layers': 1,
        'dim_out': 24,
        'img_depth_fuse_mode': 'cat_token',
        'depth_emb_mode': 'conv_1c',
    },
    'neck': stack((26, 2, 2, 2, 2)),
    'depth_head': stack(DIMS, 1),
    'mask_head': stack(DIMS, 1),
    'num_tokens_range': [12, 30],
}
GRID = (4, 5)


def build(**changes):
    config = LingBotDepthConfig.from_model_config(MODEL_CONFIG)
    torch.manual_seed(3)
    network = LingBotDepth(replace(config, **changes)).eval()
    with torch.no_grad():
        for parameter in network.encoder.backbone.parameters():
            parameter.normal_(std=0.3)
        network.mask_head.output_blocks[4].bias.zero_()
    return network


@pytest.fixture(scope='module')
def network():
    return build()


@pytest.fixture
def images():
    return torch.rand(3, 3, 60, 80, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def depth():
    """Measured everywhere, in a corner, and nowhere."""
    maps = 1.5 + torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(6))
    maps[1, 20:], maps[1, :, 30:] = 0, torch.nan
    maps[2] = 0
    return maps


def test_the_released_architecture_has_the_released_keys(shared):
    folder = shared / 'goldens/lingbot_depth'
    expected = json.loads((folder / 'released_keys.json').read_text())
    inferred = json.loads((folder / 'released_model_config_INFERRED.json').read_text())
    with torch.device('meta'):
        network = LingBotDepth(LingBotDepthConfig.released())

    assert LingBotDepthConfig.from_model_config(inferred) == LingBotDepthConfig.released()
    assert released_keys(network) == {key: tuple(shape) for key, shape in expected.items()}
    assert len(expected) == 473
    assert parameter_count(network) == 321_161_858


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'remap_depth_out': 'linear', 'mask_head': None},
        {'encoder': {'intermediate_layers': 2}},
    ],
)
def test_an_architecture_is_described_as_it_is_read(changes):
    encoder = {**MODEL_CONFIG['encoder'], **changes.get('encoder', {})}
    config = LingBotDepthConfig.from_model_config({**MODEL_CONFIG, **changes, 'encoder': encoder})
    assert LingBotDepthConfig.from_model_config(config.as_model_config()) == config


@torch.inference_mode()
def test_returns_maps_of_the_images_size(network, images, depth):
    result = network.infer(images, depth, intrinsics=torch.eye(3))

    assert {name: tuple(value.shape) for name, value in result.items()} == {
        'depth': (3, 60, 80),
        'mask': (3, 60, 80),
        'points': (3, 60, 80, 3),
    }


@torch.inference_mode()
def test_one_image_needs_no_batch(network, images, depth):
    alone = network.infer(images[1], depth[1])
    batch = network.infer(images[1:2], depth[1:2, None])

    assert all(torch.equal(alone[name], batch[name][0]) for name in batch)


@torch.inference_mode()
def test_samples_with_different_numbers_of_depth_patches_share_a_batch(network, images, depth):
    kept = network.encoder.kept_patches(network.encoder.prepare_depth(depth, *GRID)).sum(dim=1)
    together = network(images, depth, GRID)['depth']

    assert kept.tolist() == [20, 4, 0]
    for index in range(3):
        alone = network(images[index : index + 1], depth[index : index + 1], GRID)['depth']
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_fixed_length_changes_nothing_but_the_shapes(network, images, depth):
    compact = network(images, depth, GRID)
    fixed = network(images, depth, GRID, fixed_length=True)

    torch.testing.assert_close(fixed['depth'], compact['depth'], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_without_attention_masks_samples_run_one_by_one(network, images, depth, monkeypatch):
    masked = network(images, depth, GRID)['depth']
    monkeypatch.setattr(network.encoder.backbone, '_takes_mask', False)

    one_by_one = network(images, depth, GRID)['depth']

    torch.testing.assert_close(one_by_one, masked, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_kept_patches_follow_the_image_in_their_order(network, images, depth):
    encoder = network.encoder
    image, prepared = encoder.prepare_image(images, *GRID), encoder.prepare_depth(depth, *GRID)
    whole = encoder.sequences(image, prepared, None).tokens
    keep = encoder.kept_patches(prepared)

    tokens, key_mask = encoder.sequences(image, prepared, keep)

    for sample in range(3):
        expected = torch.cat((whole[sample, :21], whole[sample, 21:][keep[sample]]))
        assert torch.equal(tokens[sample][key_mask[sample]], expected)


@torch.inference_mode()
def test_tokens_keep_their_digits_in_half_precision(images, depth):
    encoder = build().encoder
    for parameter in (*encoder.backbone.parameters(), *encoder.depth_patch_embed.parameters()):
        parameter.mul_(0.05)  # far less than 1 and 2
    prepared = encoder.prepare_image(images, *GRID), encoder.prepare_depth(depth, *GRID)

    def without_mean(encoder, dtype):
        image, measured = (one.to(dtype) for one in prepared)
        tokens = encoder.sequences(image, measured, None).tokens.float()
        return tokens - tokens.mean(dim=-1, keepdim=True)

    exact = without_mean(encoder, torch.float32)
    rounded = without_mean(encoder.bfloat16(), torch.bfloat16)

    assert (rounded - exact).std() < 0.01 * exact.std()


@torch.inference_mode()
def test_a_patch_counts_with_one_measured_pixel():
    encoder = build().encoder
    depth = torch.zeros(1, 56, 70)
    depth[0, 30, 20] = 2.0

    keep = encoder.kept_patches(encoder.prepare_depth(depth, *GRID))

    assert keep.nonzero().tolist() == [[0, 2 * 5 + 1]]


@pytest.mark.parametrize('nothing', [0.0, math.nan, math.inf, -math.inf, -1.0, 0.009])
@torch.inference_mode()
def test_what_is_no_measurement_is_as_if_nothing_was_given(network, images, nothing):
    empty = network(images[:1], torch.zeros(1, 60, 80), GRID)['depth']

    given = network(images[:1], torch.full((1, 60, 80), nothing), GRID)['depth']

    assert torch.equal(given, empty)


@torch.inference_mode()
def test_exactly_one_meter_is_lost_in_log_mode_only():
    meter = torch.ones(1, 60, 80)
    logarithmic, linear = build().encoder, build(remap_depth_in='linear').encoder

    assert not logarithmic.kept_patches(logarithmic.prepare_depth(meter, *GRID)).any()
    assert linear.kept_patches(linear.prepare_depth(meter, *GRID)).all()


@torch.inference_mode()
def test_far_depth_is_lost_in_linear_mode_only():
    far = torch.full((1, 60, 80), 250.0)
    logarithmic, linear = build().encoder, build(remap_depth_in='linear').encoder

    assert logarithmic.kept_patches(logarithmic.prepare_depth(far, *GRID)).all()
    assert not linear.kept_patches(linear.prepare_depth(far, *GRID)).any()


@torch.inference_mode()
def test_the_callers_depth_stays_as_it_was(network, images, depth):
    before = depth.clone()

    network.infer(images, depth)

    assert torch.equal(depth.nan_to_num(-1), before.nan_to_num(-1))


@torch.inference_mode()
def test_points_project_onto_integer_pixels(network, images, depth):
    intrinsics = torch.tensor([[0.9, 0, 0.51], [0, 1.2, 0.49], [0, 0, 1]])
    result = network.infer(images, depth, intrinsics=intrinsics, apply_mask=False)
    x, y, z = result['points'].unbind(-1)

    columns = (x / z * 0.9 + 0.51) * 80
    rows = (y / z * 1.2 + 0.49) * 60
    expected_rows, expected_columns = torch.meshgrid(
        torch.arange(60.0), torch.arange(80.0), indexing='ij'
    )
    torch.testing.assert_close(columns[0], expected_columns, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(rows[0], expected_rows, rtol=1e-4, atol=1e-3)


@torch.inference_mode()
def test_masked_pixels_are_infinitely_far(images, depth):
    network = build()
    undecided = network(images, depth, GRID)['mask'].median().logit()
    network.mask_head.output_blocks[4].bias -= undecided
    result = network.infer(images, depth, intrinsics=torch.eye(3))
    outside = ~result['mask']

    assert 0 < outside.sum() < outside.numel()
    assert (result['depth'][outside] == math.inf).all()
    assert (result['points'][outside] == math.inf).all()


@pytest.mark.parametrize('spelling', [OURS, OTHER])
def test_both_spellings_of_the_depth_embedding_load(network, spelling):
    state = {key.replace(OURS, spelling): value for key, value in official_state(network).items()}
    loaded = build()

    load_strict(loaded, usable_state(state)[0])

    assert torch.equal(
        loaded.encoder.depth_patch_embed.proj.weight,
        network.encoder.depth_patch_embed.proj.weight,
    )


@pytest.mark.parametrize('spellings', [(), (OURS, OTHER)])
def test_no_depth_embedding_or_two_are_refused(network, spellings):
    state = {key: value for key, value in official_state(network).items() if OURS not in key}
    for spelling in spellings:
        state[f'{spelling}weight'] = torch.ones(24, 1, 14, 14)

    with pytest.raises(InputError, match='depth_mask_patch_embed'):
        usable_state(state)


def test_what_the_authors_never_build_is_dropped_and_reported(network, tmp_path, caplog):
    state = official_state(network)
    state |= {'normal_head.a': torch.ones(1), 'encoder.backbone.mask_token_mae': torch.ones(1)}
    checkpoint = Checkpoint(tmp_path / 'model.pt', '', state, MODEL_CONFIG)

    with caplog.at_level(logging.WARNING):
        loaded = LingBotDepth.from_checkpoint(checkpoint)

    assert 'normal_head.a' in caplog.text
    assert 'mask_token_mae' in caplog.text
    assert official_state(loaded).keys() == official_state(network).keys()


@pytest.mark.parametrize(
    ('part', 'value', 'message'),
    [
        ('encoder', {**MODEL_CONFIG['encoder'], 'dim_out': 16}, 'class token'),
        ('encoder', {**MODEL_CONFIG['encoder'], 'img_depth_fuse_mode': 'add'}, 'add'),
        ('encoder', {**MODEL_CONFIG['encoder'], 'depth_emb_mode': 'conv_2c'}, 'conv_2c'),
        ('depth_head', None, 'depth_head'),
        ('remap_depth_in', 'sqrt', 'sqrt'),
        ('remap_depth_out', 'sinh', 'sinh'),
    ],
)
def test_a_config_that_cannot_be_built_is_refused_by_name(part, value, message):
    with pytest.raises(InputError, match=message):
        LingBotDepthConfig.from_model_config({**MODEL_CONFIG, part: value})


def test_can_be_exported_whole_with_a_fixed_length(network, images, depth):
    if not network.encoder.backbone._takes_mask:
        pytest.skip('blocks of transformers 4 take no attention mask')
    exported = torch.export.export(Fixed(network), (images, depth)).module()

    with torch.inference_mode():
        expected, got = network(images, depth, GRID), exported(images, depth)
    torch.testing.assert_close(got['depth'], expected['depth'], rtol=1e-4, atol=1e-5)


class Fixed(torch.nn.Module):
    """The network at one grid."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image, depth):
        return self.network(image, depth, GRID, fixed_length=True)
