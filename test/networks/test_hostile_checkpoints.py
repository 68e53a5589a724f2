# SPDX-License-Identifier: Apache-2.0
"""Checkpoint files made to harm: nothing in them runs, and their claims take no memory."""

import builtins
import collections
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks import checkpoint_files
from metric_depth_ros.networks.checkpoints import read_checkpoint
from metric_depth_ros.networks.pickled_values import MOST_OPCODES, MOST_VALUES

MEGABYTE_KB = 1 << 10


class Calls:
    """What an attacker pickles: a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class PutsInPlaceOf:
    """A dict whose method `name` is an attribute instead."""

    def __init__(self, name):
        self.name = name

    def __reduce__(self):
        return collections.OrderedDict, (), {self.name: 'not to be called'}


@pytest.fixture
def state():
    return {'a.weight': torch.arange(6.0).reshape(2, 3), 'steps': torch.tensor([7])}


def refused(path):
    with pytest.raises(InputError) as error:
        read_checkpoint(path)
    assert len(str(error.value)) < 2000 + len(str(path))
    return error.value


def not_to_be_called(*_arguments, **_named):
    pytest.fail('what is refused was opened')


def rezipped(path, change, compression=zipfile.ZIP_STORED):
    """Write the archive anew with the entries that `change(name, content)` yields."""
    with zipfile.ZipFile(path) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, content in entries:
            for new_name, new_content in change(name, content):
                archive.writestr(new_name, new_content)


def peak_kb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize(
    ('function', 'name'),
    [
        (os.system, 'system'),
        (subprocess.Popen, 'Popen'),
        (builtins.exec, 'exec'),
        (torch.load, 'load'),
        (builtins.getattr, 'getattr'),
    ],
)
@pytest.mark.parametrize('place', ['model_config', 'model', 'the whole'])
def test_a_malicious_pickle_is_refused_by_name_and_not_run(tmp_path, state, function, name, place):
    path, trace = tmp_path / 'model.pt', tmp_path / 'was_run'
    harm = Calls(function, f'touch {trace}')
    torch.save(harm if place == 'the whole' else {'model': state, place: harm}, path)

    error = refused(path)

    assert not trace.exists()
    assert error.fault == 'checkpoint_unsafe'
    assert name in str(error)
    assert 'weights_only' not in str(error)  # torch's advice is to open it all the same


@pytest.mark.parametrize('protocol', range(6))
def test_a_bare_malicious_pickle_is_refused_and_not_run(tmp_path, protocol):
    path, trace = tmp_path / 'model.pt', tmp_path / 'was_run'
    path.write_bytes(pickle.dumps(Calls(os.system, f'touch {trace}'), protocol))

    error = refused(path)

    assert not trace.exists()
    assert error.fault == 'checkpoint_damaged'


@pytest.mark.parametrize('protocol', [2, 4])
def test_a_malicious_pickle_in_a_second_entry_is_refused_and_not_run(tmp_path, state, protocol):
    path, trace = tmp_path / 'model.pt', tmp_path / 'was_run'
    torch.save(state, path)
    harm = pickle.dumps(Calls(os.system, f'touch {trace}'), protocol)
    rezipped(
        path,
        lambda name, content: (
            [(name, content), (name.upper(), harm)] if 'data.pkl' in name else [(name, content)]
        ),
    )

    refused(path)

    assert not trace.exists()


def test_a_pickle_of_another_protocol_is_refused_and_not_run(tmp_path, state):
    path, trace = tmp_path / 'model.pt', tmp_path / 'was_run'
    torch.save({'model': state, 'x': Calls(os.system, f'touch {trace}')}, path, pickle_protocol=4)

    assert 'STACK_GLOBAL' in str(refused(path))
    assert not trace.exists()


def test_a_pickle_that_asks_for_a_huge_array_is_refused_before_it_has_it(tmp_path, state):
    torch.save({'model': state, 'x': Calls(bytearray, 1 << 32)}, tmp_path / 'model.pt')
    before = peak_kb()

    assert 'bytearray' in str(refused(tmp_path / 'model.pt'))

    assert peak_kb() - before < 256 * MEGABYTE_KB


def test_a_packed_archive_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / 'model.pt'
    torch.save({'a': torch.zeros(1 << 20)}, path)
    rezipped(path, lambda name, content: [(name, content)], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 16

    assert 'more than its size' in str(refused(path))


def test_a_view_that_repeats_one_number_forever_is_refused(tmp_path):
    torch.save({'a': torch.zeros(1).expand(1 << 20, 1 << 20)}, tmp_path / 'model.pt')
    before = peak_kb()

    error = refused(tmp_path / 'model.pt')

    assert error.fault == 'checkpoint_format'
    assert peak_kb() - before < 256 * MEGABYTE_KB


def test_tied_weights_are_read(tmp_path, state):
    torch.save({**state, 'tied.weight': state['a.weight']}, tmp_path / 'model.pt')

    assert 'tied.weight' in read_checkpoint(tmp_path / 'model.pt').state


def test_a_claim_of_more_numbers_than_the_file_has_is_refused(tmp_path):
    path = tmp_path / 'model.pt'
    torch.save({'a': torch.zeros(12)}, path)
    few, many = b'K\x0c', b'J' + struct.pack('<i', 1 << 30)
    rezipped(path, lambda name, content: [(name, content.replace(few, many))])

    assert refused(path).fault == 'checkpoint_damaged'


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    'make',
    [
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.eye(3).to_sparse_csr(),
        lambda: torch.empty(3, device='meta'),
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    ],
    ids=['sparse', 'csr', 'meta', 'nested'],
)
def test_what_is_no_plain_tensor_is_refused(tmp_path, state, make):
    torch.save({**state, 'odd': make()}, tmp_path / 'model.pt')

    assert refused(tmp_path / 'model.pt').fault in ('checkpoint_format', 'checkpoint_unsafe')


@pytest.mark.parametrize('name', ['get', 'items', 'keys', 'values', '__iter__'])
def test_a_dict_with_attributes_in_place_of_methods_harms_nobody(tmp_path, state, name):
    path = tmp_path / 'model.pt'
    torch.save({'model': state, 'model_config': {'a': PutsInPlaceOf(name)}}, path)
    try:
        assert read_checkpoint(path).model_config == {'a': {}}
    except InputError as error:
        assert error.fault == 'checkpoint_config'  # noqa: PT017

    torch.save(PutsInPlaceOf(name), path)
    assert refused(path).fault == 'checkpoint_format'


def test_a_circular_config_is_refused(tmp_path, state):
    config = {}
    config['again'] = config
    torch.save({'model': state, 'model_config': config}, tmp_path / 'model.pt')

    assert 'in themselves' in str(refused(tmp_path / 'model.pt'))


def write_pickled(path, opcodes):
    """Write an archive around the opcodes of a pickle."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('x/data.pkl', b'\x80\x02' + opcodes + b'.')
        archive.writestr('x/version', '3')
        archive.writestr('x/byteorder', 'little')


def doubled(times, opcode=b'\x86'):
    """Return opcodes of an empty tuple, a pair of it twice, a pair of that twice, and so on."""
    pairs = (b'h%c%cq%c' % (n, opcode, n + 1) for n in range(times))
    return b')q\0' + b''.join(pairs)


KEY_OF_A_DICT, FUNCTION, LIST = b'}%bK\x01s', b'%b)R', b']%ba'


@pytest.mark.parametrize('around', [KEY_OF_A_DICT, FUNCTION, LIST], ids=['key', 'call', 'list'])
def test_a_value_that_holds_another_twice_over_and_over_is_refused_before_it_is_made(
    tmp_path, around, monkeypatch
):
    write_pickled(tmp_path / 'model.pt', around % doubled(60))
    monkeypatch.setattr(torch, 'load', not_to_be_called)  # to hash or to print it would not end

    assert f'more than {MOST_VALUES} values' in str(refused(tmp_path / 'model.pt'))


def test_values_too_deep_in_each_other_are_refused_before_they_are_made(tmp_path, monkeypatch):
    write_pickled(tmp_path / 'model.pt', b'})' + b'\x85' * 300_000 + b'K\x01s')
    monkeypatch.setattr(torch, 'load', not_to_be_called)  # to hash it would end the process

    assert 'deep in each other' in str(refused(tmp_path / 'model.pt'))


def test_numbers_that_hash_alike_are_refused_before_they_are_keys(tmp_path, monkeypatch):
    alike = {number * sys.hash_info.modulus: None for number in range(1, 20_000)}
    assert len({hash(number) for number in alike}) == 1
    torch.save(alike, tmp_path / 'model.pt')
    monkeypatch.setattr(torch, 'load', not_to_be_called)

    assert f'more than {MOST_VALUES} values' in str(refused(tmp_path / 'model.pt'))


def test_a_key_that_is_no_word_is_told_by_its_type_alone(tmp_path):
    write_pickled(tmp_path / 'model.pt', KEY_OF_A_DICT % doubled(15))

    message = str(refused(tmp_path / 'model.pt'))

    assert 'tuple: int' in message
    assert '((' not in message


@pytest.mark.parametrize(
    ('opcodes', 'reason'),
    [
        (b'(' + b'}' * (MOST_OPCODES + 1) + b't', f'more than {MOST_OPCODES} opcodes'),
        (b'X' + struct.pack('<I', 1 << 22) + b'x' * (1 << 22), 'bytes, expected at most'),
    ],
    ids=['opcodes', 'bytes'],
)
def test_a_pickle_larger_than_that_of_any_network_is_refused_before_it_is_opened(
    tmp_path, opcodes, reason, monkeypatch
):
    write_pickled(tmp_path / 'model.pt', opcodes)
    monkeypatch.setattr(torch, 'load', not_to_be_called)

    assert reason in str(refused(tmp_path / 'model.pt'))


def test_a_config_holds_no_numbers_of_the_file_in_words(tmp_path, state):
    config = {'type': torch.float16, 'odd': torch.zeros(1000).untyped_storage()}
    torch.save({'model': state, 'model_config': config}, tmp_path / 'model.pt')

    read = read_checkpoint(tmp_path / 'model.pt').model_config

    assert read == {'type': 'torch.float16', 'odd': 'TypedStorage'}


def test_a_config_longer_than_any_is_refused_before_it_is_parsed(tmp_path, state, monkeypatch):
    save_file(state, tmp_path / 'model.safetensors', {'model_config': '[' + '0,' * 500_000 + '0]'})
    monkeypatch.setattr(checkpoint_files.json, 'loads', not_to_be_called)

    error = refused(tmp_path / 'model.safetensors')

    assert error.fault == 'checkpoint_config'
    assert 'more than 1000000 characters' in str(error)


def module_with_every_kind():
    """Return what a state dict can come from: tied, shared and of all types of numbers."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    module.tied = torch.nn.Linear(3, 3)
    module.tied.weight = module[0].weight
    for kind in (torch.bfloat16, torch.float16, torch.int8, torch.bool, torch.complex64):
        module.register_buffer(str(kind).replace('.', '_'), torch.zeros(2, dtype=kind))
    module.register_buffer('empty', torch.zeros(0))
    return module


@pytest.mark.parametrize('of_parameters', [True, False])
def test_states_as_torch_saves_them_are_read(tmp_path, of_parameters):
    module = module_with_every_kind()
    state = module.state_dict(keep_vars=of_parameters)
    shared = [1, 2, (3, 4)]
    config = {'a': shared, 'b': shared, 'long': 1 << 80, 'none': None, 'size': torch.Size([2])}
    whole = {'model': state, 'model_config': config, 'epoch': 3, 'of': {1: 'one'}}
    for content in (whole, {'state_dict': dict(state)}, state):
        torch.save(content, tmp_path / 'model.pt')
        assert read_checkpoint(tmp_path / 'model.pt').state.keys() == state.keys()


@pytest.mark.parametrize('network', ['depth_pro', 'student_depthmap', 'student_pointmap'])
def test_states_of_the_released_names_are_read(tmp_path, network, shared):
    listed = json.loads((shared / f'goldens/{network}/released_keys.json').read_text())
    names = listed.get('keys', listed)
    state = {name: torch.nn.Parameter(torch.zeros(1)) for name in names}
    torch.save({'model': state}, tmp_path / 'model.pt')

    assert read_checkpoint(tmp_path / 'model.pt').state.keys() == state.keys()


def test_a_config_that_shares_its_parts_until_it_is_huge_is_refused(tmp_path, state):
    shared = ['aaaaaaaa'] * 10
    for _ in range(12):  # 10^13 strings, were they written out
        shared = [shared] * 10
    torch.save({'model': state, 'model_config': {'x': shared}}, tmp_path / 'model.pt')

    assert f'more than {MOST_VALUES} values' in str(refused(tmp_path / 'model.pt'))


@pytest.mark.parametrize(
    'config', ['[' * 100_000, '{"a":' * 100_000, '9' * 5000, '{"a": 1', ''], ids=repr
)
def test_a_config_that_no_parser_ends_is_refused(tmp_path, state, config):
    save_file(state, tmp_path / 'model.safetensors', {'model_config': config})

    assert refused(tmp_path / 'model.safetensors').fault == 'checkpoint_config'


def safetensors_header(**tensors):
    header = json.dumps(tensors).encode()
    return struct.pack('<Q', len(header)) + header


def entry(shape, begin, end, dtype='F32'):
    return {'dtype': dtype, 'shape': shape, 'data_offsets': [begin, end]}


@pytest.mark.parametrize(
    'content',
    [
        struct.pack('<Q', (1 << 64) - 1) + b'{}',
        struct.pack('<Q', 1 << 40) + b'{}',
        struct.pack('<Q', 99_000_000) + b'{}',
        struct.pack('<Q', 4) + b'{"a"',
        struct.pack('<Q', 100_000) + b'[' * 100_000,
        safetensors_header(a=entry([1 << 40], 0, 1 << 42)),
        safetensors_header(a=entry([1 << 62, 1 << 62], 0, 16)) + bytes(16),
        safetensors_header(a=entry([4], 0, 8)) + bytes(16),
        safetensors_header(a=entry([4], 8, 24)) + bytes(16),
        safetensors_header(a=entry([4], 16, 0)) + bytes(16),
        safetensors_header(a=entry([-4], 0, 16)) + bytes(16),
        safetensors_header(a=entry([4], 0, 16), b=entry([4], 0, 16)) + bytes(16),
        safetensors_header(a=entry([4], 0, 16, 'CODE')) + bytes(16),
    ],
)
def test_a_header_that_claims_what_is_not_there_is_refused(tmp_path, content):
    (tmp_path / 'model.safetensors').write_bytes(content)
    before = peak_kb()

    error = refused(tmp_path / 'model.safetensors')

    assert error.fault == 'checkpoint_damaged'
    assert peak_kb() - before < 256 * MEGABYTE_KB


def test_names_in_messages_are_short_and_printable(tmp_path):
    torch.save({'\x1b[2J' + 'x' * 100_000: 'no tensor'}, tmp_path / 'model.pt')

    message = str(refused(tmp_path / 'model.pt'))

    assert message.isprintable()


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / 'pipe.pt')
    (tmp_path / 'folder.pt').mkdir()
    (tmp_path / 'device.pt').symlink_to('/dev/zero')
    (tmp_path / 'loop.pt').symlink_to('loop.pt')

    for name in ('pipe.pt', 'folder.pt', 'device.pt', 'loop.pt'):
        assert refused(tmp_path / name).fault == 'checkpoint_missing'


def test_a_link_to_a_file_is_followed(tmp_path, state):
    torch.save(state, tmp_path / 'blob')
    (tmp_path / 'model.pt').symlink_to('blob')

    assert read_checkpoint(tmp_path / 'model.pt').state.keys() == state.keys()


def test_an_old_torch_opens_no_torch_files(tmp_path, state, monkeypatch):
    torch.save(state, tmp_path / 'model.pt')
    save_file(state, tmp_path / 'model.safetensors')
    monkeypatch.setattr(checkpoint_files.torch, '__version__', '2.5.1+cpu')

    error = refused(tmp_path / 'model.pt')

    assert error.fault == 'checkpoint_unsafe'
    assert 'update torch to 2.6' in str(error)
    assert read_checkpoint(tmp_path / 'model.safetensors').state.keys() == state.keys()


@pytest.fixture(scope='module')
def whole_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    state = {f'blocks.{index}.weight': torch.ones(4, 3) for index in range(3)}
    torch.save({'model': state, 'model_config': {'dims': [1, 2]}}, folder / 'model.pt')
    return {
        '.pt': (folder / 'model.pt').read_bytes(),
        '.safetensors': save(state, {'model_config': '{"dims": [1, 2]}'}),
    }


@pytest.mark.filterwarnings('ignore')
@settings(max_examples=150, deadline=None)
@given(
    suffix=st.sampled_from(['.pt', '.safetensors']),
    changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=5),
)
def test_a_file_changed_anywhere_is_read_or_refused(
    whole_files, tmp_path_factory, suffix, changes
):
    content = bytearray(whole_files[suffix])
    for position, value in changes:
        content[position % len(content)] = value
    path = tmp_path_factory.getbasetemp() / f'changed{suffix}'
    path.write_bytes(content)

    try:
        assert read_checkpoint(path).state
    except InputError as error:
        assert error.fault.startswith('checkpoint_')  # noqa: PT017
