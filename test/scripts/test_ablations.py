# SPDX-License-Identifier: Apache-2.0
"""The comparison of small trainings: its configurations, its flawed views, its tables and plot."""

import json
import sys
from pathlib import Path

import ablations
import flawed_views
import numpy as np
import short_trainings
import torch
import yaml
from tiny_training import example, write_shards

from metric_depth_ros.networks.checkpoints import parameter_count
from metric_depth_ros.training.config import SourceConfig, read_config
from metric_depth_ros.training.recipes import create_recipe
from metric_depth_ros.training.shards import ShardSource

TINY = {
    'steps': 2,
    'batch_size': 2,
    'network': {'widths': [4, 8, 8, 8, 8], 'blocks': [1, 1, 1, 1, 1]},
    'workers': 0,
}


def test_every_variation_is_a_training_that_the_trainer_accepts(tmp_path):
    places = {'out/shards': tmp_path / 'views', 'out/ablations': tmp_path / 'made'}
    variations = {*ablations.SCALING, *ablations.COMPACT, *ablations.TEACHER}
    for variation in variations:
        path = tmp_path / 'config.yaml'
        path.write_text(yaml.safe_dump(short_trainings.configuration(variation, 1, places)))
        config = read_config(path)
        assert config.seed == 1
        assert all(Path(source.path).is_relative_to(tmp_path) for source in config.data)
        recipe = create_recipe(config.recipe, config.network, config.options, variation.name)
        with torch.device('meta'):
            assert parameter_count(recipe.build()) > 1000
    folders = {variation.folder(tmp_path, 0) for variation in variations}
    assert len(folders) == len(variations)


def test_training_that_is_complete_is_left_alone_and_measured(tmp_path, monkeypatch):
    shards = write_shards(tmp_path / 'shards' / 'train', count=4)
    config = short_trainings.configuration(
        ablations.COMPACT[0], 0, {'out/shards': tmp_path / 'shards'}
    )
    config |= {**TINY, 'options': {'sizes': [[64, 64]]}}
    folder = tmp_path / 'out'
    short_trainings.train(config, folder)
    weights = folder / 'weights.safetensors'
    written = weights.stat().st_mtime_ns
    monkeypatch.setattr(short_trainings.subprocess, 'run', None)
    short_trainings.train(config, folder)
    assert weights.stat().st_mtime_ns == written
    assert short_trainings.minutes(folder) > 0
    source = SourceConfig(str(shards))
    errors = short_trainings.errors_per_view(config, weights, source, gray=True)
    assert len(errors) == 4
    assert np.isfinite(errors).all()
    shapes = short_trainings.errors_of_shape(config, weights, source)
    assert len(shapes) == 4
    assert np.isfinite(shapes).all()


def test_flawed_views_are_wrong_in_part_and_keep_their_sky(tmp_path):
    source = ShardSource(write_shards(tmp_path / 'shards', count=4))
    flawed_views.write_flawed_shard(source, range(2, 4), tmp_path / 'flawed')
    flawed = ShardSource(tmp_path / 'flawed')
    assert len(flawed) == 2
    for worn, whole in zip(
        (flawed.load(0), flawed.load(1)), (example(2), example(3)), strict=True
    ):
        np.testing.assert_array_equal(np.isinf(worn.depth), np.isinf(whole.depth))
        known = np.isfinite(whole.depth)
        off = np.abs(worn.depth[known] / whole.depth[known] - 1.0) > 1e-3
        assert 0.10 < off.mean() < 0.17


def test_document_and_plot_are_made_of_the_figures(tmp_path, monkeypatch):
    run = {'simulated': 0.1, 'recorded': 0.2, 'views': 30, 'minutes': 4.0}
    run |= {'simulated, median set': 0.05, 'recorded, median set': 0.06}
    figures = {
        'guess': {'simulated': 0.3, 'recorded': 0.4},
        'ablation_scaling': {
            ablations.SCALING[0].name: {'0': run, '1': run | {'recorded': 0.3}},
            ablations.SCALING[-1].name: {'0': run | {'views': 6000}},
        },
        'ablation_compact': {'no image': {'0': run}},
    }
    for name in ('FIGURES', 'DOCUMENT', 'PLOT'):
        monkeypatch.setattr(ablations, name, tmp_path / getattr(ablations, name).name)
    ablations.FIGURES.write_text(json.dumps(figures))
    ablations.DOCUMENT.write_text(
        ''.join(
            f'<!-- figures:{name} -->\n\n<!-- end -->\nstays\n' for name in ('scaling', 'compact')
        )
    )
    monkeypatch.setattr(sys, 'argv', ['ablations.py', '--tables-only'])
    assert ablations.main() == 0
    text = ablations.DOCUMENT.read_text()
    assert '| 30 | 0.1000 (0.1000 to 0.1000) | 0.2500 (0.2000 to 0.3000) | 0.0500 ' in text
    assert '| the guess alone | 0.3000 | 0.4000 |' in text
    assert '| no image | 0.1000 | 0.2000 | 1 | 4 |' in text
    assert text.endswith('<!-- end -->\nstays\n')
    assert ablations.PLOT.read_text().startswith('<?xml')
