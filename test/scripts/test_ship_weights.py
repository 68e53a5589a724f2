# SPDX-License-Identifier: Apache-2.0
"""Weights on their way into the package."""

import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

SCRIPTS = Path(__file__).resolve().parents[2] / 'scripts'


@pytest.fixture
def ship_weights(tmp_path, monkeypatch):
    """Return the script for a package of its own, and networks whose answers are told."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        import ship_weights
    finally:
        sys.path.remove(str(SCRIPTS))
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


def test_weights_that_lose_precision_leave_the_shipped_ones_alone(
    ship_weights, tmp_path, monkeypatch
):
    answering(ship_weights, monkeypatch, step=1.0)
    with pytest.raises(SystemExit, match='float16 changes answers'):
        ship_weights.main()
    assert (tmp_path / 'compact_teacher.safetensors').read_bytes() == b'old'
    assert 'old' in (tmp_path / ship_weights.MANIFEST).read_text()
    assert len(list(tmp_path.iterdir())) == 2


def test_weights_that_keep_precision_are_put_in_place(ship_weights, tmp_path, monkeypatch):
    answering(ship_weights, monkeypatch, step=0.0)
    assert ship_weights.main() == 0
    assert (tmp_path / 'compact_teacher.safetensors').read_bytes() != b'old'
    manifest = json.loads((tmp_path / ship_weights.MANIFEST).read_text())['compact_teacher']
    assert (manifest['file'], manifest['sha256']) == ('compact_teacher.safetensors', 'new')
    assert len(list(tmp_path.iterdir())) == 2
