# SPDX-License-Identifier: Apache-2.0
"""Weights on their way into the package."""

import itertools
import json
import sys
from types import SimpleNamespace

import pytest
import ship_weights
import torch

from metric_depth_ros.training.checkpoints import write_checkpoint
from metric_depth_ros.training.config import read_config
from metric_depth_ros.training.config_files import find_config
from metric_depth_ros.training.journal import JOURNAL_NAME
from metric_depth_ros.training.recipes import create_recipe


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Return the script for a package of its own, and networks whose answers are told."""
    checkpoint = SimpleNamespace(state={'w': torch.ones(2)}, model_config={}, sha256='new')
    monkeypatch.setattr(ship_weights, 'FOLDER', tmp_path)
    monkeypatch.setattr(ship_weights, 'read_checkpoint', lambda path: checkpoint)
    monkeypatch.setattr(ship_weights, '_history', lambda run: {})
    monkeypatch.setattr(sys, 'argv', ['ship_weights.py', 'compact_teacher', 'run'])
    (tmp_path / 'compact_teacher.safetensors').write_bytes(b'old')
    (tmp_path / ship_weights.MANIFEST).write_text('{"compact_teacher": {"sha256": "old"}}')
    return ship_weights


def answering(script, monkeypatch, step):
    numbers = itertools.count()

    def network(*inputs):
        return [torch.tensor([0.0, 1.0]) + step * next(numbers)]

    monkeypatch.setattr(script, 'network_from', lambda name, checkpoint: network)


def test_weights_that_lose_precision_leave_the_shipped_ones_alone(script, tmp_path, monkeypatch):
    answering(script, monkeypatch, step=1.0)
    with pytest.raises(SystemExit, match='float16 changes answers'):
        script.main()
    assert (tmp_path / 'compact_teacher.safetensors').read_bytes() == b'old'
    assert 'old' in (tmp_path / script.MANIFEST).read_text()
    assert len(list(tmp_path.iterdir())) == 2


def test_weights_that_keep_precision_are_put_in_place(script, tmp_path, monkeypatch):
    answering(script, monkeypatch, step=0.0)
    assert script.main() == 0
    assert (tmp_path / 'compact_teacher.safetensors').read_bytes() != b'old'
    manifest = json.loads((tmp_path / script.MANIFEST).read_text())['compact_teacher']
    assert (manifest['file'], manifest['sha256']) == ('compact_teacher.safetensors', 'new')
    assert len(list(tmp_path.iterdir())) == 2


def test_weights_that_are_put_in_place_have_the_rights_of_other_files(
    script, tmp_path, monkeypatch
):
    answering(script, monkeypatch, step=0.0)
    assert script.main() == 0
    shipped, manifest = tmp_path / 'compact_teacher.safetensors', tmp_path / script.MANIFEST
    assert shipped.stat().st_mode == manifest.stat().st_mode


def history(tmp_path, shipped, step, **changed):
    """Return the history of a training as a shipped configuration says, but for what changed."""
    run = tmp_path / shipped
    config = read_config(find_config(shipped))
    options = create_recipe(config.recipe, config.network, config.options, '').plain_options
    told = {**config.plain(), 'options': options, 'examples': [7], **changed}  # by a checkpoint
    write_checkpoint(run, step, {}, told)
    (run / JOURNAL_NAME).write_text('')
    return ship_weights._history(run)


def test_a_training_as_a_shipped_configuration_says_is_told_by_its_name(tmp_path):
    found = history(tmp_path, 'compact_teacher_cpu', 69_400)
    assert found['command'] == 'metric-depth train compact --config compact_teacher_cpu'
    assert 'note' not in found


def test_a_checkpoint_that_spells_the_network_out_is_told_by_its_configuration(tmp_path):
    config = read_config(find_config('compact_student_cpu'))
    network = create_recipe(config.recipe, config.network, {}, '').model_config()
    assert network != config.network
    found = history(tmp_path, 'compact_student_cpu', config.steps, network=network)
    assert found['command'] == 'metric-depth train compact_student --config compact_student_cpu'


def test_a_training_of_another_configuration_does_not_name_the_one_of_its_folder(tmp_path):
    found = history(tmp_path, 'compact_teacher_cpu', 69_400, seed=41)
    assert found['command'] == 'metric-depth train compact --config FILE'
    assert found['note'] == ship_weights.NO_SHIPPED_CONFIG
    assert found['configuration']['seed'] == 41


def test_a_training_that_went_on_from_other_weights_is_told_to_be_the_last(tmp_path):
    config = read_config(find_config('compact_student_cpu'))
    start = config.start_from
    found = history(tmp_path, 'compact_student_cpu', config.steps)
    assert found['command'].endswith('--config compact_student_cpu')
    assert found['note'] == f'the last of several trainings: it went on from {start}'


def test_a_training_that_was_stopped_is_told_until_when_it_went(tmp_path):
    found = history(tmp_path, 'compact_teacher_cpu', 500)
    assert found['command'].endswith('--config compact_teacher_cpu --until 500')
