# SPDX-License-Identifier: Apache-2.0
"""Weights on their way into the package."""

import itertools
import json
import sys
from types import SimpleNamespace

import pytest
import ship_weights
import torch


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
