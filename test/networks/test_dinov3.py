# SPDX-License-Identifier: Apache-2.0
"""The DINOv3 backbone against transformers' whole model, and its translation of Meta's names."""

import pytest

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

from metric_depth_ros.networks.backbones.dinov3 import (  # noqa: E402
    DinoV3,
    DinoV3Config,
    RotaryTable,
    swiglu_hidden_dim,
)

TINY = DinoV3Config(
    embed_dim=32, depth=3, num_heads=2, hidden_dim=88, patch_size=4, num_registers=4
)


@pytest.fixture(scope='module')
def backbone():
    torch.manual_seed(3)
    return randomized(DinoV3(TINY).eval())


def randomized(module):
    """Make every parameter count: transformers starts gammas, tokens and biases at constants."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3)
    return module


def test_agrees_with_the_whole_model_of_transformers(backbone):
    config = transformers.DINOv3ViTConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=88,
        patch_size=4, num_register_tokens=4, use_gated_mlp=True, hidden_act='silu',
        layer_norm_eps=1e-5, key_bias=True,
    )  # fmt: skip
    whole = transformers.DINOv3ViTModel(config).eval()
    blocks = whole.layer if hasattr(whole, 'layer') else whole.model.layer
    blocks.load_state_dict(backbone.blocks.state_dict())
    whole.embeddings.load_state_dict(backbone.embeddings.state_dict())
    whole.norm.load_state_dict(backbone.norm.state_dict())
    images = torch.randn(2, 3, 16, 24)
    with torch.inference_mode():
        expected = whole(images, output_hidden_states=True)
        tokens, taps = backbone(images, (2, 0))
    torch.testing.assert_close(tokens, expected.last_hidden_state, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(taps[0], expected.hidden_states[3], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(taps[1], expected.hidden_states[1], atol=1e-5, rtol=1e-5)


def test_names_translate_to_meta_and_back_without_loss(backbone):
    ours = backbone.state_dict()
    there_and_back = backbone.from_official(backbone.to_official(ours))
    silent = [key for key in ours if key.endswith('k_proj.bias')]
    assert set(there_and_back) == set(ours)
    for key in set(ours) - set(silent):
        assert torch.equal(there_and_back[key], ours[key]), key


def test_the_mask_silences_key_biases_and_no_others(backbone):
    official = backbone.to_official(backbone.state_dict())
    official['blocks.1.attn.qkv.bias'] = torch.ones(96)
    ours = backbone.from_official(official)
    values = [ours[f'blocks.1.attention.{part}_proj.bias'] for part in 'qkv']
    assert [value.unique().tolist() for value in values] == [[1.0], [0.0], [1.0]]


def test_unknown_keys_pass_through_so_that_loading_can_name_them(backbone):
    strangers = {'blocks.0.adapter.weight': torch.ones(1), 'head.weight': torch.ones(1)}
    assert set(backbone.from_official(strangers)) == set(strangers)


def test_vit_huge_plus_has_the_published_number_of_parameters():
    with torch.device('meta'):
        huge = DinoV3(DinoV3Config())
    assert sum(parameter.numel() for parameter in huge.parameters()) == 840_633_600
    assert swiglu_hidden_dim(1280, 6.0) == DinoV3Config().hidden_dim


def test_rotary_periods_survive_half_precision():
    table = RotaryTable(64)
    exact = table.periods.clone()
    table.to(torch.bfloat16)
    assert torch.equal(table.periods, exact)


def test_periods_come_from_the_checkpoint(backbone):
    official = backbone.to_official(backbone.state_dict())
    official['rope_embed.periods'] = official['rope_embed.periods'] * 2
    other = DinoV3(TINY).eval()
    other.load_state_dict(other.from_official(official))
    images = torch.randn(1, 3, 16, 16)
    with torch.inference_mode():
        assert not torch.allclose(other(images)[0], backbone(images)[0])


def test_a_model_without_memory_takes_the_tensors_of_a_checkpoint(backbone):
    official = backbone.to_official(backbone.state_dict())
    with torch.device('meta'):
        other = DinoV3(TINY)
    other.load_state_dict(other.from_official(official), assign=True)
    images = torch.randn(1, 3, 16, 16)
    with torch.inference_mode():
        official_bias = backbone.from_official(official)
        backbone.load_state_dict(official_bias)
        assert torch.equal(other.eval()(images)[0], backbone(images)[0])
