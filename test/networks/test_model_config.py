# SPDX-License-Identifier: Apache-2.0
"""The configuration in a checkpoint is checked before anything is built from it."""

import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.model_config import find_taps, stack

CONFIG = {
    'dim_in': [10, 2, 2, 2, None],
    'dim_out': None,
    'dim_res_blocks': [32, 16, 8, 6, 4],
    'num_res_blocks': [0, 2, 1, 1, 0],
    'res_block_in_norm': 'none',
    'res_block_hidden_norm': 'none',
    'resamplers': ['conv_transpose', 'pixel_shuffle', 'nearest', 'bilinear'],
}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'resamplers': ['conv_transpose'] * 3 + ['lanczos']}, 'lanczos'),
        ({'res_block_in_norm': 'batch_norm'}, 'batch_norm'),
        ({'activation': 'gelu'}, 'gelu'),
        ({'dim_in': [10, 2]}, 'levels'),
        ({'dim_res_blocks': 3}, 'neck'),
        ({'num_res_blocks': [1, 1]}, 'levels'),
        ({'num_res_blocks': [1, 1, 1, 1, 10**9]}, 'num_res_blocks'),
        ({'num_res_blocks': 1.5}, 'num_res_blocks'),
        ({'dim_res_blocks': [32, 16, 8, 6, '4']}, 'dim_res_blocks'),
        ({'dim_in': [10, 2, 2, 2, -1]}, 'dim_in'),
        ({'dim_times_res_block_hidden': 10**9}, 'dim_times_res_block_hidden'),
        ({'activation': ['relu']}, 'activation'),
        ({'dim_in': list(range(10**5))}, 'levels'),
    ],
)
def test_a_stack_that_cannot_be_built_is_refused_by_name(change, message):
    with pytest.raises(InputError, match=message) as refused:
        stack({'neck': {**CONFIG, **change}}, 'neck')

    assert refused.value.fault == 'checkpoint_config'


def test_a_missing_width_is_refused_by_name():
    with pytest.raises(InputError, match='dim_res_blocks'):
        stack({'neck': {'dim_in': [1] * 5}}, 'neck')


def test_a_value_of_any_length_is_refused_in_a_short_message():
    with pytest.raises(InputError) as refused:
        stack({'neck': {**CONFIG, 'dim_in': [7] * 10**6}}, 'neck')

    assert len(str(refused.value)) < 300


def test_a_head_with_other_channels_than_the_network_takes_is_refused():
    with pytest.raises(InputError, match='3 at last'):
        stack({'points_head': CONFIG}, 'points_head', 3)


@pytest.mark.parametrize(
    ('layers', 'taps'), [(1, (23,)), (4, (20, 21, 22, 23)), ([5, 11], (5, 11)), ([11, 5], (5, 11))]
)
def test_intermediate_layers_are_the_last_n_or_a_list(layers, taps):
    assert find_taps(layers, 24) == taps


@pytest.mark.parametrize(
    'layers', [0, 25, -1, 10**12, [24], [-1], [], [3, 3], [1.5], ['1'], None, True]
)
def test_layers_that_do_not_exist_are_refused(layers):
    with pytest.raises(InputError, match='intermediate_layers'):
        find_taps(layers, 24)
