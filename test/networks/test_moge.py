# SPDX-License-Identifier: Apache-2.0
"""What MoGe-2 and LingBot-Depth share: the encoder, the grid of patches, masked maps."""

import math

import pytest
import torch

from metric_depth_ros.networks.backbones.dinov2 import DinoV2Config
from metric_depth_ros.networks.moge import (
    MoGeEncoder,
    at_image_size,
    mask_out,
    neck_inputs,
    token_grid,
    tokens_of_level,
)

TINY = DinoV2Config(embed_dim=24, depth=3, num_heads=2, native_grid=5)


def test_the_grid_has_the_aspect_of_the_image_and_rounds_half_to_even():
    assert token_grid(3600, 640, 480) == (52, 69)
    assert token_grid(1, 4, 25) == (2, 1)  # 2.5 and 0.4, which is one all the same


def test_levels_spread_over_the_range():
    assert tokens_of_level(0, (1200, 3600)) == 1200
    assert tokens_of_level(4, (48, 96)) == 69
    assert tokens_of_level(9, (1200, 3600)) == 3600


def test_the_neck_gets_features_at_the_first_level_and_the_plane_at_all():
    entering = neck_inputs(torch.ones(2, 7, 3, 4), 4 / 3)

    assert [tuple(one.shape) for one in entering] == [
        (2, 9, 3, 4),
        (2, 2, 6, 8),
        (2, 2, 12, 16),
        (2, 2, 24, 32),
        (2, 2, 48, 64),
    ]


def test_half_precision_is_resized_in_single():
    assert at_image_size(torch.rand(1, 1, 4, 4).bfloat16(), 6, 7).dtype == torch.float32


def test_masked_maps_are_infinitely_far_and_without_normals():
    mask = torch.tensor([[[True, False]]])
    maps = {
        'depth': torch.ones(1, 1, 2),
        'points': torch.ones(1, 1, 2, 3),
        'normal': torch.ones(1, 1, 2, 3),
        'intrinsics': torch.eye(3)[None],
    }

    masked = mask_out(maps, mask)

    assert masked['depth'].tolist() == [[[1, math.inf]]]
    assert masked['points'].tolist() == [[[[1] * 3, [math.inf] * 3]]]
    assert masked['normal'].tolist() == [[[[1] * 3, [0] * 3]]]
    assert torch.equal(masked['intrinsics'], maps['intrinsics'])


@torch.inference_mode()
def test_the_encoder_sums_projections_of_normalized_taps():
    torch.manual_seed(2)
    encoder = MoGeEncoder(TINY, (0, 2), 7).eval()
    image = torch.rand(1, 3, 28, 42)

    features, class_token = encoder(image, 2, 3)

    _, raw = encoder.backbone(encoder.prepare_image(image, 2, 3), (0, 2))
    taps = [encoder.backbone.norm(tokens) for tokens in raw]
    expected = sum(
        projection(tap[:, 1:].transpose(1, 2).reshape(1, -1, 2, 3))
        for projection, tap in zip(encoder.output_projections, taps, strict=True)
    )
    torch.testing.assert_close(features, expected)
    assert torch.equal(class_token, taps[-1][:, 0])


@torch.inference_mode()
@pytest.mark.parametrize('low', [torch.bfloat16, torch.float16])
def test_pixels_are_normalized_in_single_precision_whatever_the_encoder_was_cast_to(low):
    encoder = MoGeEncoder(TINY, (2,), 7)
    image = torch.rand(1, 3, 28, 42)
    exact = encoder.prepare_image(image, 2, 3)

    assert torch.equal(encoder.to(low).prepare_image(image, 2, 3), exact.to(low))
    assert torch.equal(encoder.float().prepare_image(image, 2, 3), exact)


def test_an_encoder_without_memory_gets_some():
    with torch.device('meta'):
        encoder = MoGeEncoder(TINY, (2,), 7)
    assert encoder.half().to_empty(device='cpu').image_mean.dtype == torch.float32
