# SPDX-License-Identifier: Apache-2.0
"""Files of weights, as trainings write them."""

import os
import stat

import pytest
import torch
from full_disk import no_room

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.checkpoints import read_checkpoint
from metric_depth_ros.training.checkpoints import write_checkpoint, write_weights


@pytest.fixture(params=[0o022, 0o027], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def rights(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_weights_may_be_read_by_whoever_umask_lets(umask, tmp_path):
    path = tmp_path / 'weights.safetensors'
    write_weights(path, {'w': torch.ones(2)}, {'model_config': {'widths': [1]}})
    assert rights(path) == 0o666 & ~umask
    assert read_checkpoint(path).model_config == {'widths': [1]}


def test_checkpoints_may_be_read_by_whoever_umask_lets(umask, tmp_path):
    folder = write_checkpoint(tmp_path, 5, {'network': {'w': torch.ones(2)}}, {'seed': 0})
    assert {path.name: rights(path) for path in folder.iterdir()} == dict.fromkeys(
        ('network.safetensors', 'state.json'), 0o666 & ~umask
    )


def test_weights_that_cannot_be_written_leave_the_old_ones_alone(tmp_path):
    path = tmp_path / 'weights.safetensors'
    path.write_bytes(b'old')
    with no_room(), pytest.raises(InputError, match=r'weights\.safetensors.*free space'):
        write_weights(path, {'w': torch.ones(9999)}, {})
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_that_cannot_be_written_takes_no_room(tmp_path):
    with no_room(), pytest.raises(InputError, match='free space'):
        write_checkpoint(tmp_path, 5, {'network': {'w': torch.ones(9999)}}, {})
    assert list((tmp_path / 'checkpoints').iterdir()) == []


def test_what_a_killed_training_was_writing_is_removed(tmp_path):
    left = tmp_path / 'checkpoints/step_00000003.partial'
    left.mkdir(parents=True)
    written = write_checkpoint(tmp_path, 5, {'network': {'w': torch.ones(2)}}, {})
    assert list(left.parent.iterdir()) == [written]
