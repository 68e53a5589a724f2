# SPDX-License-Identifier: Apache-2.0
"""Checkpoint files are read without trusting them and loaded without guessing."""

import errno
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from official_weights import official_state
from safetensors.torch import save_file
from torch import nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.checkpoints import (
    load_strict,
    parameter_count,
    read_checkpoint,
    released_keys,
)


class Renamed(nn.Module):
    """A network whose one layer its authors call `theirs`."""

    def __init__(self):
        super().__init__()
        self.ours = nn.Linear(3, 2)
        self.register_buffer('steps', torch.zeros(1, dtype=torch.long))

    def from_official(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {key.replace('theirs.', 'ours.'): value for key, value in state.items()}

    def to_official(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {key.replace('ours.', 'theirs.'): value for key, value in state.items()}


@pytest.fixture
def state():
    return {
        'theirs.weight': torch.arange(6.0).reshape(2, 3),
        'theirs.bias': torch.ones(2),
        'steps': torch.tensor([7]),
    }


@pytest.mark.parametrize('key', ['model', 'state_dict'])
def test_reads_a_torch_file_with_its_config(tmp_path, state, key):
    torch.save({key: state, 'model_config': {'depth': 4}}, tmp_path / 'model.pt')

    checkpoint = read_checkpoint(tmp_path / 'model.pt')

    assert checkpoint.model_config == {'depth': 4}
    assert torch.equal(checkpoint.state['theirs.weight'], state['theirs.weight'])


def test_reads_a_bare_state(tmp_path, state):
    torch.save(state, tmp_path / 'model.pth')

    checkpoint = read_checkpoint(tmp_path / 'model.pth')

    assert checkpoint.model_config is None
    assert checkpoint.state.keys() == state.keys()


def test_reads_safetensors_with_the_config_in_its_metadata(tmp_path, state):
    path = tmp_path / 'model.safetensors'
    save_file(state, path, {'model_config': json.dumps({'dims': [1, 2]})})

    checkpoint = read_checkpoint(path)

    assert checkpoint.model_config == {'dims': [1, 2]}
    assert torch.equal(checkpoint.state['theirs.bias'], state['theirs.bias'])


def test_tells_the_digest_of_the_file(tmp_path, state):
    path = tmp_path / 'model.safetensors'
    save_file(state, path)

    assert read_checkpoint(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('suffix', ['.pt', '.safetensors'])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, state, value, suffix):
    path = tmp_path / f'model{suffix}'
    state['theirs.bias'][1] = value
    save_file(state, path) if suffix == '.safetensors' else torch.save(state, path)

    with pytest.raises(InputError, match=r'theirs\.bias') as refused:
        read_checkpoint(path)

    assert refused.value.fault == 'checkpoint_not_finite'


@pytest.mark.parametrize('suffix', ['.pt', '.safetensors'])
@pytest.mark.parametrize('damage', ['cut short', 'noise', 'empty'])
def test_a_damaged_file_is_refused(tmp_path, state, suffix, damage):
    path = tmp_path / f'model{suffix}'
    save_file(state, path) if suffix == '.safetensors' else torch.save(state, path)
    whole = path.read_bytes()
    path.write_bytes({'cut short': whole[:-40], 'noise': b'\x93 noise', 'empty': b''}[damage])

    with pytest.raises(InputError, match='cannot be read') as refused:
        read_checkpoint(path)

    assert refused.value.fault == 'checkpoint_damaged'


@pytest.mark.parametrize('suffix', ['.pt', '.safetensors'])
@pytest.mark.parametrize('asked', ['is_file', 'open'], ids=['of its folder', 'of the file'])
def test_a_file_whose_rights_are_missing_is_not_called_damaged(
    tmp_path, state, suffix, asked, monkeypatch
):
    path = tmp_path / f'model{suffix}'
    save_file(state, path) if suffix == '.safetensors' else torch.save(state, path)

    def denied(*_arguments):
        raise PermissionError(errno.EACCES, 'Permission denied')

    monkeypatch.setattr(Path, asked, denied)  # root, whom many tests run as, may read everything
    with pytest.raises(InputError, match=r'Permission denied.*chmod a\+r') as refused:
        read_checkpoint(path)

    assert refused.value.fault == 'checkpoint_unreadable'


@pytest.mark.parametrize('content', [[1, 2], {'model': {'lr': 0.1}}, {}, {3: torch.ones(1)}])
def test_a_file_without_a_state_is_refused(tmp_path, content):
    torch.save(content, tmp_path / 'model.pt')

    with pytest.raises(InputError) as refused:
        read_checkpoint(tmp_path / 'model.pt')

    assert refused.value.fault == 'checkpoint_format'


def test_an_absent_file_and_an_unknown_suffix_are_refused(tmp_path):
    (tmp_path / 'model.onnx').write_bytes(b'')

    with pytest.raises(InputError, match='not a file'):
        read_checkpoint(tmp_path / 'model.pt')
    with pytest.raises(InputError, match=r'expected one of \.safetensors'):
        read_checkpoint(tmp_path / 'model.onnx')


def test_metadata_that_is_no_config_is_refused(tmp_path, state):
    for index, text in enumerate(('{', '[1]')):
        path = tmp_path / f'{index}.safetensors'
        save_file(state, path, {'model_config': text})
        with pytest.raises(InputError) as refused:
            read_checkpoint(path)
        assert refused.value.fault == 'checkpoint_config'


def test_loads_official_weights_and_gives_them_back(state):
    network = Renamed()

    load_strict(network, state)

    assert torch.equal(network.ours.weight, state['theirs.weight'])
    assert network.steps.item() == 7
    returned = official_state(network)
    assert returned.keys() == state.keys()
    assert all(torch.equal(returned[key], state[key]) for key in state)


def test_tells_official_keys_and_parameters_without_weights():
    with torch.device('meta'):
        network = Renamed()

    assert released_keys(network) == {'theirs.weight': (2, 3), 'theirs.bias': (2,), 'steps': (1,)}
    assert parameter_count(network) == 8


def test_weights_that_the_precision_of_the_network_does_not_hold_are_refused(state):
    state['theirs.bias'] = torch.tensor([1.0, 1e300], dtype=torch.float64)
    said = r'too large for Renamed, .* torch\.float32: 1 \(ours\.bias\)'
    with pytest.raises(InputError, match=said) as refused:
        load_strict(Renamed(), state)
    assert refused.value.fault == 'checkpoint_not_finite'


def test_a_network_on_the_meta_device_becomes_real(state):
    with torch.device('meta'):
        network = Renamed()

    load_strict(network, state)

    assert torch.equal(network.ours(torch.zeros(3)), state['theirs.bias'])


def test_loading_keeps_the_precision_of_the_network(state):
    network = Renamed()

    load_strict(network, {**state, 'theirs.weight': state['theirs.weight'].half()})

    assert network.ours.weight.dtype == torch.float32


def change_missing(state):
    del state['theirs.bias']
    return r'missing 1 \(theirs\.bias\)'


def change_unexpected(state):
    state['theirs.scale'] = torch.ones(1)
    return r'unexpected 1 \(theirs\.scale\)'


def change_shape(state):
    state['theirs.weight'] = torch.ones(3, 2)
    return r'wrong shape 1 \(theirs\.weight \[3, 2\] instead of \[2, 3\]\)'


def change_kind(state):
    state['theirs.bias'] = torch.ones(2, dtype=torch.int32)
    return r'theirs\.bias \[2\] int32 instead of \[2\]'


@pytest.mark.parametrize('change', [change_missing, change_unexpected, change_shape, change_kind])
def test_a_state_that_does_not_fit_is_refused_by_name_and_changes_nothing(state, change):
    network = Renamed()
    before = network.ours.weight.clone()
    message = change(state)

    with pytest.raises(InputError, match=message) as refused:
        load_strict(network, state)

    assert refused.value.fault == 'checkpoint_keys'
    assert torch.equal(network.ours.weight, before)
