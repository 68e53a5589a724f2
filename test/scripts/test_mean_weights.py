# SPDX-License-Identifier: Apache-2.0
"""The mean of the weights of two trainings."""

import sys

import mean_weights
import pytest
import torch

from metric_depth_ros.networks.checkpoints import read_checkpoint
from metric_depth_ros.training.checkpoints import write_weights


@pytest.fixture
def two(tmp_path):
    """Return files of two trainings, whose weight is 0 in the one and 4 in the other."""
    paths = [tmp_path / 'first.safetensors', tmp_path / 'second.safetensors']
    for path, value in zip(paths, (0.0, 4.0), strict=True):
        write_weights(path, {'w': torch.full((2,), value)}, {'model_config': {'widths': [2]}})
    return paths


def mean(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['mean_weights.py', *map(str, arguments)])
    return mean_weights.main()


def test_the_mean_has_the_share_of_the_second(two, tmp_path, monkeypatch):
    out = tmp_path / 'mean.safetensors'
    assert mean(monkeypatch, *two, '--share', '0.75', '--out', out) == 0
    found = read_checkpoint(out)
    assert found.state['w'].tolist() == [3.0, 3.0]
    assert found.model_config == {'widths': [2]}


def test_the_mean_has_the_rights_of_other_files(two, tmp_path, monkeypatch):
    out, other = tmp_path / 'mean.safetensors', tmp_path / 'other'
    other.touch()
    assert mean(monkeypatch, *two, '--out', out) == 0
    assert out.stat().st_mode == other.stat().st_mode


def test_weights_of_different_networks_have_no_mean(two, tmp_path, monkeypatch, capsys):
    write_weights(two[1], {'w': torch.ones(2)}, {'model_config': {'widths': [3]}})
    with pytest.raises(SystemExit):
        mean(monkeypatch, *two, '--out', tmp_path / 'mean.safetensors')
    assert 'different networks' in capsys.readouterr().err
    assert not (tmp_path / 'mean.safetensors').exists()
