# SPDX-License-Identifier: Apache-2.0
"""Rendered depth in an unknown unit: its gradients teach, its scale does not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_checkpoints import tiny_network
from tiny_training import example, write_config

from metric_depth_ros.cli.main import main
from metric_depth_ros.training.batches import UNSCALED_MEDIAN, Sources
from metric_depth_ros.training.config import RECIPES, SourceConfig
from metric_depth_ros.training.gradient_loss import ssi_mage
from metric_depth_ros.training.recipes import create_recipe
from metric_depth_ros.training.shards import write_shard


def teacher():
    shape = tiny_network('teacher')[1]
    network = {**shape, 'backbone': {**shape['backbone'], 'patch_size': 2}, 'canvas': 64}
    return create_recipe('teacher', network, {'prior': 'nearest', 'masked_share': 1.0}, 'test')


def loaded(folder, unit_m, **changes):
    """Return an example whose source counts in another unit than meters."""
    one = example(0)
    sensors = {
        name: replace(points, depth=points.depth / unit_m, sigma=points.sigma / unit_m)
        for name, points in one.sensors.items()
    }
    folder.mkdir()
    in_units = replace(one, depth=one.depth / np.float32(unit_m), sensors=sensors)
    write_shard(folder / 'a.tar', [('00000000', in_units)])
    return Sources([SourceConfig(str(folder), **changes)]).load(0, 0)


@pytest.mark.parametrize('unit_m', [0.01, 30.0])
def test_an_example_without_a_scale_is_the_same_whatever_its_unit(tmp_path, unit_m):
    meters, other = (loaded(tmp_path / str(unit), unit, metric=False) for unit in (1.0, unit_m))
    assert not other.metric
    assert np.median(other.depth[np.isfinite(other.depth)]) == pytest.approx(UNSCALED_MEDIAN)
    np.testing.assert_allclose(other.depth, meters.depth, rtol=1e-3)
    for kind in ('depth', 'sigma'):
        seen, expected = (getattr(e.sensors['lidar'], kind) for e in (other, meters))
        np.testing.assert_allclose(seen, expected, rtol=2e-2)


def test_an_example_in_meters_stays_as_it_is(tmp_path):
    seen = loaded(tmp_path / 'meters', 1.0)
    assert seen.metric
    np.testing.assert_allclose(seen.depth, example(0).depth, rtol=1e-3)


def test_the_teacher_learns_nothing_but_gradients_from_depth_without_a_scale():
    torch.manual_seed(3)
    truth = torch.rand(1, 32, 32) + 0.5
    answer, mask = truth + 0.3 * torch.rand(1, 32, 32), torch.rand(1, 32, 32) < 0.9
    recipe = teacher()
    loss = recipe.loss_of(answer, truth, mask, real=False, metric=False)
    torch.testing.assert_close(loss, 5.0 * ssi_mage(answer, truth, mask))
    moved = recipe.loss_of(3.0 * answer + 0.2, truth, mask, real=False, metric=False)
    torch.testing.assert_close(moved, loss, rtol=1e-4, atol=1e-6)


def test_each_example_of_a_batch_has_the_loss_of_its_source():
    recipe = teacher()
    torch.manual_seed(3)
    network = recipe.build()
    rng = np.random.default_rng(5)
    views = [example(0), replace(example(1), metric=False)]
    ready = [recipe.prepare(view, None, rng, real=False, augment=False) for view in views]
    parts = []
    recipe.loss_of = lambda answer, truth, mask, **how: parts.append(how) or answer.mean()[None]
    recipe.losses(network, recipe.collate(ready))
    assert [part['metric'] for part in parts] == [True, False]


def test_recipes_that_compare_meters_do_not_learn_without_a_scale():
    learning = [
        name for name in RECIPES if create_recipe(name, {}, {}, 'test').learns_without_scale
    ]
    assert learning == ['teacher', 'pointmap', 'depth_tokens']


def test_a_source_without_a_scale_is_refused_by_recipes_that_cannot_use_it(tmp_path, capsys):
    pytest.importorskip(
        'accelerate', reason="training needs accelerate: pip install '.[training]'"
    )
    shards = str(tmp_path / 'shards')
    data = [{'path': shards}, {'path': shards, 'metric': False}]
    config = write_config(tmp_path, data=data)
    assert main(['train', 'compact', '--config', str(config), '--out', str(tmp_path / 'out')]) == 2
    said = ' '.join(capsys.readouterr().err.split())
    assert 'data[1]: metric is false' in said
    assert 'recipe compact learns meters here' in said
