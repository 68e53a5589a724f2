# SPDX-License-Identifier: Apache-2.0
"""Configurations: shipped ones are whole, others are refused by file and key."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import write_config
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from metric_depth_ros.cli.main import main
from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.learned.compact_inputs import size_for
from metric_depth_ros.networks.checkpoints import parameter_count
from metric_depth_ros.networks.lingbot_depth import LingBotDepthConfig
from metric_depth_ros.networks.student_pointmap import StudentPointMapConfig
from metric_depth_ros.training.config import OptimizerConfig, read_config
from metric_depth_ros.training.config_files import find_config
from metric_depth_ros.training.recipes import create_recipe
from metric_depth_ros.training.schedule import (
    kept_settings,
    parameter_groups,
    rate_share,
    set_rates,
)
from metric_depth_ros.training.sources import open_source

SHIPPED = sorted((Path(__file__).parents[2] / 'config/training').glob('*.yaml'))


POINTMAP, LINGBOT = (
    kind.released().as_model_config() for kind in (StudentPointMapConfig, LingBotDepthConfig)
)


def recipe_of(path):
    config = read_config(path)
    return create_recipe(config.recipe, config.network, config.options, str(path))


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_shipped_configuration_builds_its_network(path):
    recipe = recipe_of(find_config(path.stem))
    with torch.device('meta'):
        assert parameter_count(recipe.build()) > 1000


def test_masked_depth_has_the_architecture_of_the_released_weights():
    released = LingBotDepthConfig.released()
    assert recipe_of(find_config('masked_depth')).model_config() == released.as_model_config()


def test_paper_pointmap_has_the_architecture_of_the_released_weights():
    released = StudentPointMapConfig.released()
    assert recipe_of(find_config('paper_pointmap')).model_config() == released.as_model_config()


@pytest.mark.parametrize(
    'name', ['masked_depth', 'paper_pointmap', 'paper_student', 'paper_teacher']
)
def test_large_networks_begin_with_a_pretrained_transformer(name):
    config = read_config(find_config(name))
    assert config.start_from is not None
    assert config.optimizer.backbone_rate < config.optimizer.rate


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        ({'step': 3}, 'unknown step'),
        ({'optimizer': {'rate': 'fast'}}, "optimizer: rate is 'fast', expected float"),
        ({'optimizer': {'rate': 1e-3, 'schedule': 'linear'}}, 'schedule is'),
        ({'optimizer': {}}, 'missing rate'),
        ({'steps': 2.5}, 'steps is 2.5, expected int'),
        ({'steps': True}, 'steps is True, expected int'),
        ({'precision': 'fp16'}, 'fp32, bf16'),
        ({'data': []}, 'data'),
        ({'data': [{'path': 'x', 'kind': 'zip'}]}, 'kind is'),
        ({'data': [{'path': 'x', 'metric': False, 'real': True}]}, 'metric is false and real is'),
        ({'validation': [{'path': 'x', 'metric': False}]}, 'validation[0]: metric is false'),
        ({'data': [{'path': 'x', 'fraction': 2.0}]}, 'fraction is 2.0'),
        ({'network': {'depth': 3}}, 'network: unknown depth'),
        ({'options': {'sizes': [[65, 64]]}}, 'multiples of 32'),
        ({'options': {'sizes': [[0, 0]]}}, 'positive multiples of 32'),
        ({'options': {'sizes': [[-64, 64]]}}, 'positive multiples of 32'),
        (
            {'recipe': 'teacher', 'network': {}, 'options': {'sizes': [[0, 64]]}},
            'sizes: [(0, 64)]',
        ),
        (
            {'recipe': 'student', 'network': {}, 'options': {'sizes': [[0, 64]]}},
            'sizes: [(0, 64)]',
        ),
        (
            {'recipe': 'masked', 'network': {}, 'options': {'sizes': [[64, -1]]}},
            'sizes: [(64, -1)]',
        ),
        ({'recipe': 'teacher', 'network': {}, 'options': {'points': [9, 3]}}, 'points[0] is 9'),
        ({'seed': -1}, 'seed is -1'),
        ({'workers': -1}, 'workers is -1'),
        ({'window': -3}, 'window is -3'),
        ({'validation_count': -3}, 'validation_count is -3'),
        ({'optimizer': {'rate': 1e-3, 'betas': [1.5, 2.0]}}, 'betas are (1.5, 2.0)'),
        ({'optimizer': {'rate': 1e-3, 'betas': [0.9, 1.0]}}, 'betas are (0.9, 1.0)'),
        ({'optimizer': {'rate': 1e-3, 'halving_steps': 0}}, 'halving_steps is 0'),
        ({'every': {'log': 0}}, 'log is 0, expected 1'),
        ({'data': [{'path': 'x', 'fraction': 0.0}]}, 'fraction is 0.0, expected more than 0'),
        ({'data': [{'path': 'x', 'repeat': -1.0}]}, 'repeat is -1.0, expected more than 0'),
        ({'recipe': 'teacher', 'network': {}, 'options': {'points': [10, -5]}}, 'points[1] is -5'),
        ({'recipe': 'radar', 'network': {}, 'options': {'prompts': 'masked'}}, "is 'masked'"),
        ({'recipe': 'pointmap', 'network': {}, 'options': {'view_px': [9, 3]}}, 'view_px[1] is 3'),
        (
            {'recipe': 'pointmap', 'network': {}, 'options': {'aspect': [0.0, 2.0]}},
            'aspect[0] is 0.0',
        ),
        (
            {'recipe': 'pointmap', 'network': {}, 'options': {'patches': [[4, 16]]}},
            'options: patches[0] is [4, 16]',
        ),
        (
            {'recipe': 'pointmap', 'network': {}, 'options': {'patches': [[4, 0, 6]]}},
            'count of patches[0] is 0',
        ),
        (
            {
                'recipe': 'pointmap',
                'network': {**POINTMAP, 'num_tokens_rang': [12, 24]},
                'options': {},
            },
            'network: unknown num_tokens_rang; known are encoder',
        ),
        (
            {'recipe': 'masked', 'network': {**LINGBOT, 'remap_depth': 'linear'}},
            'network: unknown remap_depth; known are encoder',
        ),
        (
            {'recipe': 'masked', 'network': {**LINGBOT, 'neck': {**LINGBOT['neck'], 'norm': 1}}},
            'network: neck: unknown norm; known are dim_in',
        ),
        (
            {'recipe': 'masked', 'network': {**LINGBOT, 'encoder': None}},
            'network: encoder of the model_config is None',
        ),
        (
            {'recipe': 'pointmap', 'network': {**POINTMAP, 'encoder': None}, 'options': {}},
            'network: encoder of the model_config is None',
        ),
    ],
)
def test_bad_key_is_named_with_its_file(tmp_path, change, named):
    path = write_config(tmp_path, **change)
    with pytest.raises(InputError) as caught:
        recipe_of(path)
    assert named in str(caught.value)
    assert 'tiny.yaml' in str(caught.value)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('clip_norm', 0.0),
        ('clip_norm', -1.0),
        ('clip_norm', math.nan),
        ('weight_decay', -0.01),
        ('weight_decay', math.nan),
        ('backbone_rate', -1e-6),
        ('backbone_rate', math.nan),
        ('final_share', -0.1),
        ('final_share', 1.1),
        ('final_share', math.nan),
        ('warmup_steps', -1),
        ('backbone_warmup_steps', -1),
    ],
)
def test_optimizer_that_would_do_harm_is_refused(tmp_path, key, value):
    path = write_config(tmp_path, optimizer={'rate': 1e-3, key: value})
    with pytest.raises(InputError, match=rf'tiny\.yaml: optimizer: {key} is {value}, expected'):
        read_config(path)


@pytest.mark.parametrize('key', ['fraction', 'repeat'])
def test_part_of_a_source_that_is_no_number_is_refused(tmp_path, key):
    path = write_config(tmp_path, data=[{'path': 'x', key: math.nan}])
    with pytest.raises(InputError, match=rf'data\[0\]: {key} is nan, expected more than 0'):
        read_config(path)


@pytest.mark.parametrize(
    ('recipe', 'key', 'value'),
    [
        ('teacher', 'farthest_m', 0.0),
        ('teacher', 'farthest_m', math.nan),
        ('radar', 'farthest_m', -1.0),
        ('masked', 'farthest_m', 0.0),
        ('masked', 'farthest_m', math.nan),
        ('masked', 'noise', -0.1),
        ('masked', 'noise', math.nan),
        *(
            ('pointmap', f'{part}_weight', value)
            for part in ('global', 'local', 'edge', 'scale', 'mask')
            for value in (-1.0, math.nan)
        ),
        *(
            ('compact', f'{part}_weight', value)
            for part in ('error', 'far', 'squared', 'gradient', 'width', 'sky', 'held')
            for value in (-1.0, math.nan)
        ),
    ],
)
def test_option_that_would_do_harm_is_refused(recipe, key, value):
    with pytest.raises(InputError, match=f'here: options: {key} is {value}, expected'):
        create_recipe(recipe, {}, {key: value}, 'here')


@pytest.mark.parametrize('recipe', ['teacher', 'radar', 'student'])
@pytest.mark.parametrize(
    ('key', 'value', 'named'),
    [
        ('decoder_width', 0, 'decoder_width is 0'),
        ('decoder_width', 1, 'decoder_width is 1'),  # the head would have half a channel
        ('head_width', -1, 'head_width is -1'),
        ('widths', [8, 8, 0, 8], r'widths\[2\] is 0'),
    ],
)
def test_network_with_a_layer_of_no_channels_is_refused(recipe, key, value, named):
    with pytest.raises(InputError, match=f'here: network: {named}, expected'):
        create_recipe(recipe, {key: value}, {}, 'here')


def test_shape_that_the_network_itself_refuses_is_named_with_its_file():
    with pytest.raises(InputError, match='here: network: the canvas is 100'):
        create_recipe('teacher', {'canvas': 100}, {}, 'here')


@pytest.mark.parametrize('prior', ['nonsense', 'composed:nonsense'])
def test_unknown_prior_is_refused_when_the_configuration_is_read(prior):
    with pytest.raises(InputError, match=r"here: options: unknown .*'nonsense'.*\(key prior\)"):
        create_recipe('teacher', {}, {'prior': prior}, 'here')


@pytest.mark.parametrize('size', [(448, 320), (96, 704), (1280, 384)])
def test_compact_size_that_differs_by_prompt_is_refused(size):
    with pytest.raises(InputError, match=rf'sizes: \[\({size[0]}, {size[1]}\)\] given.* 60000'):
        create_recipe('compact', {}, {'sizes': [[64, 64], list(size)]}, 'here')


def test_compact_size_that_is_allowed_is_the_same_for_every_prompt():
    width, height = size = (320, 192)
    create_recipe('compact', {}, {'sizes': [list(size)]}, 'here')
    few = np.array([(10.0, 10.0), (300.0, 180.0)], np.float32)
    v, u = np.mgrid[:height, :width].astype(np.float32)
    many = np.stack((u.ravel(), v.ravel()), 1)
    assert {size_for(width, height, few), size_for(width, height, many)} == {size}


@pytest.mark.parametrize(
    'text', ['a: [1, 2', 'a: 2024-13-45', '[' * 100_000], ids=['cut', 'date', 'nested']
)
def test_file_that_is_no_yaml_is_refused(tmp_path, text):
    path = tmp_path / 'bad.yaml'
    path.write_text(text)
    with pytest.raises(InputError, match=r'bad\.yaml'):
        read_config(path)


def test_object_in_yaml_is_refused_and_not_made(tmp_path):
    path = tmp_path / 'evil.yaml'
    path.write_text(f'a: !!python/object/apply:os.mkdir ["{tmp_path / "made"}"]')
    with pytest.raises(InputError):
        read_config(path)
    assert not (tmp_path / 'made').exists()


def test_exponent_without_a_point_is_a_number(tmp_path):
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace('rate: 0.001', 'rate: 1e-6'))
    assert read_config(path).optimizer.rate == 1e-6


def test_recipe_and_configuration_must_agree(tmp_path, capsys):
    path = write_config(tmp_path)
    assert main(['train', 'teacher', '--config', str(path)]) == 2
    assert 'recipe compact, not teacher' in capsys.readouterr().err


def test_missing_data_is_named_before_anything_is_made(tmp_path, capsys):
    path = write_config(tmp_path, data=[{'path': str(tmp_path / 'nowhere')}])
    out = tmp_path / 'out'
    assert main(['train', 'compact', '--config', str(path), '--out', str(out)]) == 2
    assert 'nowhere' in capsys.readouterr().err
    assert not out.exists()


def test_unknown_configuration_is_named(capsys):
    assert main(['train', 'compact', '--config', 'no_such']) == 2
    assert 'no_such' in capsys.readouterr().err


def test_rate_rises_and_falls():
    config = OptimizerConfig(rate=1.0, final_share=0.1)
    shares = [rate_share(config, step, steps=100, warmup_steps=10) for step in range(101)]
    assert shares[0] == 0.1
    assert shares[10] == 1.0
    assert shares[55] == pytest.approx(0.55)
    assert shares[100] == pytest.approx(0.1)
    assert all(math.isfinite(share) for share in shares)


def test_rate_halves():
    config = OptimizerConfig(rate=1.0, schedule='halving', halving_steps=25)
    assert [rate_share(config, s, 100, 0) for s in (0, 24, 25, 50)] == [1.0, 1.0, 0.5, 0.25]


def optimized(config):
    network = torch.nn.Linear(3, 2)
    groups = parameter_groups(network, config, ())
    return network, torch.optim.AdamW(groups, betas=config.betas)


def test_the_configuration_decides_rates_and_decay_whatever_an_engine_loads():
    """With what FSDP stores and loads an optimizer by."""
    before = optimized(OptimizerConfig(rate=1e-3, weight_decay=0.01, warmup_steps=9))
    before[0](torch.ones(1, 3)).sum().backward()
    before[1].step()
    config = OptimizerConfig(rate=5e-5, weight_decay=0.2, betas=(0.8, 0.9))
    network, optimizer = optimized(config)
    with kept_settings(optimizer):
        set_optimizer_state_dict(network, optimizer, get_optimizer_state_dict(*before))
    set_rates(optimizer.param_groups, config, 0, 100)
    weight, bias = optimizer.param_groups
    assert [group['lr'] for group in (weight, bias)] == [5e-5, 5e-5]
    assert (weight['weight_decay'], bias['weight_decay']) == (0.2, 0.0)
    assert weight['betas'] == (0.8, 0.9)
    assert torch.any(optimizer.state[network.weight]['exp_avg'] != 0.0)


def test_every_configuration_for_users_says_how_its_examples_are_made():
    folder = Path(__file__).resolve().parents[2] / 'config' / 'training'
    for path in set(folder.glob('*.yaml')) - set(folder.glob('ablation_*.yaml')):
        config = read_config(path)
        for source in (*config.data, *config.validation):
            if source.path.startswith('out/shards/'):
                assert f'metric-depth make-shards {source.path} --views' in path.read_text()


def test_a_missing_source_of_examples_names_what_makes_one():
    with pytest.raises(InputError, match=r'no out/nowhere to .*`metric-depth make-shards`'):
        open_source(Path('out/nowhere'), 'shards')
    with pytest.raises(InputError, match=r'no out/nowhere to take examples from: name another\.'):
        open_source(Path('out/nowhere'), 'kitti')
