# SPDX-License-Identifier: Apache-2.0
"""The pyramid decoder and the image plane that enters it."""

import math

import pytest
import torch

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.convstack import (
    ConvStack,
    ConvStackConfig,
    at_image_size,
    moge_head,
    moge_neck,
    neck_inputs,
    view_plane_uv,
)

CONFIG = {
    'dim_in': [10, 2, 2, 2, None],
    'dim_out': None,
    'dim_res_blocks': [32, 16, 8, 6, 4],
    'num_res_blocks': [0, 2, 1, 1, 0],
    'res_block_in_norm': 'none',
    'res_block_hidden_norm': 'none',
    'resamplers': ['conv_transpose', 'pixel_shuffle', 'nearest', 'bilinear'],
}


def features(batch=2, rows=3, columns=5):
    return [
        torch.randn(batch, channels, rows << level, columns << level)
        for level, channels in enumerate((10, 2, 2, 2, 4))
    ]


def test_every_level_doubles_the_last():
    outputs = ConvStack(ConvStackConfig.from_model_config(CONFIG, 'neck'))(features())

    assert [tuple(output.shape) for output in outputs] == [
        (2, 32, 3, 5),
        (2, 16, 6, 10),
        (2, 8, 12, 20),
        (2, 6, 24, 40),
        (2, 4, 48, 80),
    ]


def test_borders_are_replicated():
    """A constant input stays constant to the border, which zero padding would change."""
    dims = [4] * 5
    config = ConvStackConfig.from_model_config(
        {**CONFIG, 'dim_in': dims, 'dim_res_blocks': dims, 'resamplers': 'bilinear'}, 'neck'
    )
    constant = [torch.full((1, 4, 3 << level, 3 << level), 0.5) for level in range(5)]

    for output in ConvStack(config)(constant):
        torch.testing.assert_close(output, output[:, :, :1, :1].expand_as(output))


@pytest.mark.parametrize('norm', ['layer_norm', 'group_norm', 'instance_norm'])
@pytest.mark.parametrize('activation', ['relu', 'leaky_relu', 'silu', 'elu'])
def test_all_of_the_authors_variants_run(norm, activation):
    dims = [32] * 5
    config = ConvStackConfig.from_model_config(
        {
            'dim_in': dims,
            'dim_out': dims,
            'dim_res_blocks': dims,
            'resamplers': 'bilinear',
            'res_block_in_norm': norm,
            'res_block_hidden_norm': norm,
            'activation': activation,
            'dim_times_res_block_hidden': 2,
        },
        'neck',
    )
    entering = [torch.randn(1, 32, 2 << level, 2 << level) for level in range(5)]

    assert ConvStack(config)(entering)[-1].isfinite().all()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'resamplers': ['conv_transpose'] * 3 + ['lanczos']}, 'lanczos'),
        ({'res_block_in_norm': 'batch_norm'}, 'batch_norm'),
        ({'activation': 'gelu'}, 'gelu'),
        ({'dim_in': [10, 2]}, 'levels'),
        ({'dim_res_blocks': 3}, 'neck'),
        ({'num_res_blocks': [1, 1]}, 'levels'),
    ],
)
def test_a_stack_that_cannot_be_built_is_refused_by_name(change, message):
    with pytest.raises(InputError, match=message) as refused:
        ConvStackConfig.from_model_config({**CONFIG, **change}, 'neck')

    assert refused.value.fault == 'checkpoint_config'


def test_a_missing_width_is_refused_by_name():
    with pytest.raises(InputError, match='dim_res_blocks'):
        ConvStackConfig.from_model_config({'dim_in': [1] * 5}, 'neck')


def test_the_image_plane_reaches_the_diagonal_at_its_corners():
    plane = view_plane_uv(4, 6, 1.5, torch.zeros(1, 1, 4, 6))
    right, bottom = plane[0, 0, -1], plane[1, -1, 0]

    torch.testing.assert_close(plane, -plane.flip(1, 2))
    assert math.hypot(right * 6 / 5, bottom * 4 / 3) == pytest.approx(1)
    assert torch.equal(plane[0, 0], plane[0, 3])  # u runs along the columns


def test_the_aspect_of_the_plane_is_of_the_image_not_of_the_grid():
    wide = view_plane_uv(4, 4, 2.0, torch.zeros(1, 1, 4, 4))

    assert wide[0, 0, -1] == pytest.approx(2 * float(wide[1, -1, 0]))


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


def test_the_released_stacks_fit_each_other():
    assert moge_head(3).dim_in == moge_neck().dim_res_blocks
    assert moge_head(1).dim_out == (None, None, None, None, 1)
