# SPDX-License-Identifier: Apache-2.0
"""The pyramid decoder."""

import pytest
import torch

from metric_depth_ros.networks.convstack import ConvStack, moge_head, moge_neck
from metric_depth_ros.networks.model_config import stack

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
    outputs = ConvStack(stack({'neck': CONFIG}, 'neck'))(features())

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
    config = {**CONFIG, 'dim_in': dims, 'dim_res_blocks': dims, 'resamplers': 'bilinear'}
    constant = [torch.full((1, 4, 3 << level, 3 << level), 0.5) for level in range(5)]

    for output in ConvStack(stack({'neck': config}, 'neck'))(constant):
        torch.testing.assert_close(output, output[:, :, :1, :1].expand_as(output))


@pytest.mark.parametrize('norm', ['layer_norm', 'group_norm', 'instance_norm'])
@pytest.mark.parametrize('activation', ['relu', 'leaky_relu', 'silu', 'elu'])
def test_all_of_the_authors_variants_run(norm, activation):
    dims = [32] * 5
    config = {
        'dim_in': dims,
        'dim_out': dims,
        'dim_res_blocks': dims,
        'resamplers': 'bilinear',
        'res_block_in_norm': norm,
        'res_block_hidden_norm': norm,
        'activation': activation,
        'dim_times_res_block_hidden': 2,
    }
    entering = [torch.randn(1, 32, 2 << level, 2 << level) for level in range(5)]

    assert ConvStack(stack({'neck': config}, 'neck'))(entering)[-1].isfinite().all()


def test_the_released_stacks_fit_each_other():
    assert moge_head(3).dim_in == moge_neck().dim_res_blocks
    assert moge_head(1).dim_out == (None, None, None, None, 1)
