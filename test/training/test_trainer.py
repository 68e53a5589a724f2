# SPDX-License-Identifier: Apache-2.0
"""The training loop: exact resume, processes, interrupts, files that are not to be trusted."""

import itertools
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tiny_training import write_config, write_shards

from metric_depth_ros.cli.main import main
from metric_depth_ros.training.recipes.compact import CompactRecipe

accelerate = pytest.importorskip(
    'accelerate', reason="training needs accelerate: pip install '.[training]'"
)

LAUNCH_TIMEOUT_S = 240.0
ENVIRONMENT = {**os.environ, 'OMP_NUM_THREADS': '1'}


class Evil:
    """Unpickling this makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def journal(out, what='train'):
    path = out / 'metrics.jsonl'
    written = path.read_text() if path.is_file() else ''
    lines = [json.loads(line) for line in written.splitlines()]
    return [line for line in lines if line['what'] == what]


def arguments(config, out, *extra):
    return ['train', 'compact', '--config', str(config), '--out', str(out), *extra]


def train(config, out, *extra):
    return main(arguments(config, out, '--device', 'cpu', *extra))


def weights(out, step):
    folder = out / f'checkpoints/step_{step:08d}'
    return {name: load_file(folder / f'{name}.safetensors') for name in ('network', 'mean')}


def same(a, b):
    return all(torch.equal(a[part][key], b[part][key]) for part in a for key in a[part])


@pytest.fixture(autouse=True)
def _own_engine():
    """accelerate keeps one engine a process, whatever the next training asks for."""
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(autouse=True, scope='module')
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A whole training of six steps: its configuration and its folder."""
    folder = tmp_path_factory.mktemp('training')
    config = write_config(folder)
    assert train(config, folder / 'out') == 0
    return config, folder / 'out'


def test_loss_falls(tmp_path):
    every = {'log': 20, 'validate': 0, 'checkpoint': 0, 'pictures': 0}
    plain = {'sizes': [[64, 64]], 'restyled_share': 0.0, 'pasted_share': 0.0}
    config = write_config(tmp_path, steps=60, optimizer={'rate': 3e-3}, options=plain, every=every)
    train(config, tmp_path / 'out')
    first, *_, last = journal(tmp_path / 'out')
    assert last['loss'] < first['loss']


def test_resumed_training_has_the_weights_of_an_uninterrupted_one(finished, tmp_path):
    config, whole = finished
    assert train(config, tmp_path / 'out', '--until', '3') == 0
    assert train(config, tmp_path / 'out', '--resume') == 0
    assert same(weights(whole, 6), weights(tmp_path / 'out', 6))


def test_resumed_training_drops_the_journal_of_steps_that_are_made_again(finished, tmp_path):
    config, _ = finished
    train(config, tmp_path / 'out', '--until', '4')
    for file in (tmp_path / 'out/checkpoints/step_00000004').iterdir():
        file.unlink()
    train(config, tmp_path / 'out', '--resume')
    assert [line['step'] for line in journal(tmp_path / 'out')] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize('name', ['step_00000004', 'step_00000004.partial'])
def test_half_written_checkpoint_is_passed_over(finished, tmp_path, name):
    config, whole = finished
    train(config, tmp_path / 'out', '--until', '3')
    damaged = tmp_path / 'out/checkpoints' / name
    shutil.copytree(tmp_path / 'out/checkpoints/step_00000003', damaged)
    (damaged / 'state.json').write_text('{"step": 4, "con')
    assert train(config, tmp_path / 'out', '--resume') == 0
    assert same(weights(whole, 6), weights(tmp_path / 'out', 6))


def test_unreadable_checkpoints_alone_are_refused(finished, capsys, tmp_path):
    config, _ = finished
    (tmp_path / 'checkpoints/step_00000003').mkdir(parents=True)
    (tmp_path / 'checkpoints/step_00000003/state.json').write_text('{')
    assert train(config, tmp_path, '--resume') == 2
    assert 'step_00000003' in capsys.readouterr().err


def test_line_of_the_journal_that_was_cut_short_is_dropped(finished, tmp_path):
    config, _ = finished
    train(config, tmp_path / 'out', '--until', '3')
    with (tmp_path / 'out/metrics.jsonl').open('a') as file:
        file.write('{"step": 3, "wh')
    assert train(config, tmp_path / 'out', '--resume') == 0
    assert [line['step'] for line in journal(tmp_path / 'out')] == [1, 2, 3, 4, 5, 6]


def test_journal_begins_anew_without_resume(finished, tmp_path):
    config, _ = finished
    (tmp_path / 'checkpoints/step_00000001.partial').mkdir(parents=True)
    (tmp_path / 'metrics.jsonl').write_text('{"step": 1, "what": "validation", "abs_rel": 0}\n')
    assert train(config, tmp_path, '--until', '1') == 0
    assert journal(tmp_path, 'validation') == []
    assert [line['step'] for line in journal(tmp_path)] == [1]


def test_training_stops_at_once_where_it_was_to_stop_before(finished, capsys, tmp_path):
    config, _ = finished
    train(config, tmp_path / 'out', '--until', '3')
    assert train(config, tmp_path / 'out', '--resume', '--until', '2') == 0
    assert 'step 3 of 6, stopped' in capsys.readouterr().out
    assert [line['step'] for line in journal(tmp_path / 'out')] == [1, 2, 3]


def test_stop_before_the_first_step_is_refused(finished, capsys, tmp_path):
    config, _ = finished
    with pytest.raises(SystemExit, match='2'):
        train(config, tmp_path / 'out', '--until', '0')
    assert '--until: 0 is not a whole number, 1 or more' in capsys.readouterr().err


@pytest.mark.parametrize('damaged', ['shards', 'unseen'])
def test_damaged_example_of_a_worker_is_one_sentence(capsys, tmp_path, damaged):
    unseen = write_shards(tmp_path / 'unseen', count=1, first=100)
    every = {'log': 1, 'validate': 1, 'checkpoint': 0, 'pictures': 0}
    config = write_config(
        tmp_path, steps=1, workers=1, validation=[{'path': str(unseen)}], every=every
    )
    for path in (tmp_path / damaged).glob('*.tar'):
        path.write_bytes(path.read_bytes().replace(b'\x89PNG', b'none'))
    assert train(config, tmp_path / 'out') == 2
    said = capsys.readouterr().err
    assert f'{tmp_path / damaged}' in said
    assert 'Traceback' not in said


def test_workers_do_not_change_the_weights(finished, tmp_path):
    config, whole = finished
    changed = tmp_path / 'workers.yaml'
    changed.write_text(config.read_text().replace('workers: 0', 'workers: 2'))
    train(changed, tmp_path / 'out', '--until', '3')
    assert same(weights(whole, 3), weights(tmp_path / 'out', 3))


def test_accumulated_passes_make_the_same_step(finished, tmp_path):
    config, whole = finished
    changed = tmp_path / 'passes.yaml'
    changed.write_text(config.read_text() + 'accumulate: 2\n')
    train(changed, tmp_path / 'out')
    for a, b in zip(journal(whole), journal(tmp_path / 'out'), strict=True):
        assert b['loss'] == pytest.approx(a['loss'], abs=1e-4)


class _NoGradient(torch.autograd.Function):
    """Passes a loss on, and NaN back."""

    @staticmethod
    def forward(ctx, loss):
        return loss.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.nan


DIVERGED = {'loss': lambda loss: loss * math.inf, 'gradient_norm': _NoGradient.apply}


@pytest.mark.parametrize('name', DIVERGED)
def test_a_divergence_leaves_the_last_good_checkpoint(capsys, monkeypatch, tmp_path, name):
    every = {'log': 10, 'validate': 0, 'checkpoint': 2, 'pictures': 0, 'keep': 2}
    config = write_config(tmp_path, every=every)
    losses, calls = CompactRecipe.losses, itertools.count(1)

    def diverging(*given):
        found = losses(*given)
        return {**found, 'loss': DIVERGED[name](found['loss'])} if next(calls) == 4 else found

    with monkeypatch.context() as patched:
        patched.setattr(CompactRecipe, 'losses', diverging)
        assert train(config, tmp_path / 'out') == 2
    assert f'the {name} is ' in capsys.readouterr().err
    (kept,) = (tmp_path / 'out/checkpoints').iterdir()
    assert kept.name == 'step_00000002'
    shipped = load_file(tmp_path / 'out/weights.safetensors')
    assert all(tensor.isfinite().all() for tensor in shipped.values())
    assert train(config, tmp_path / 'out', '--resume') == 0


def test_bf16_keeps_losses_and_weights_in_float32(finished, tmp_path):
    config, whole = finished
    changed = tmp_path / 'bf16.yaml'
    changed.write_text(config.read_text() + 'precision: bf16\n')
    train(changed, tmp_path / 'out', '--until', '3')
    assert {t.dtype for t in weights(tmp_path / 'out', 3)['network'].values()} == {torch.float32}
    first, second = journal(whole)[2]['loss'], journal(tmp_path / 'out')[2]['loss']
    assert first != second  # products are in bf16
    assert second == pytest.approx(first, rel=0.05)


def launched(config, out, *extra):
    """Train in two processes."""
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node', '2']
    command += ['--master_port', str(free_port()), '-m', 'metric_depth_ros.cli.main']
    command += arguments(config, out, '--device', 'cpu', *extra)
    subprocess.run(command, check=True, timeout=LAUNCH_TIMEOUT_S, env=ENVIRONMENT)


def free_port():
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        return unused.getsockname()[1]


def test_two_processes_have_the_losses_of_one(finished, tmp_path):
    config, whole = finished
    launched(config, tmp_path / 'out')
    two = journal(tmp_path / 'out')
    assert [line['processes'] for line in journal(tmp_path / 'out', 'start')] == [2]
    assert len(two) == 6
    for a, b in zip(journal(whole), two, strict=True):
        assert b['loss'] == pytest.approx(a['loss'], abs=1e-4)


def test_two_processes_go_on_from_the_checkpoint_of_one(finished, tmp_path):
    config, whole = finished
    train(config, tmp_path / 'out', '--until', '3')
    launched(config, tmp_path / 'out', '--resume')
    for a, b in zip(journal(whole), journal(tmp_path / 'out'), strict=True):
        assert b['loss'] == pytest.approx(a['loss'], abs=1e-4)


def endless(folder, workers):
    """Write the configuration of a training that ends by a signal alone."""
    every = {'log': 1, 'validate': 0, 'checkpoint': 0, 'pictures': 0}
    return write_config(folder, steps=100_000, every=every, workers=workers)


def stopped(command, out, stop):
    """Train, stop the process once it has made a step, and return its exit code and words."""
    said = out.with_name('said')
    process = subprocess.Popen(
        command, env=ENVIRONMENT, start_new_session=True, stderr=said.open('w')
    )
    try:
        deadline = time.monotonic() + LAUNCH_TIMEOUT_S
        while not journal(out) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        stop(process)
        return process.wait(LAUNCH_TIMEOUT_S), said.read_text()
    finally:
        process.kill()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_a_checkpoint_and_is_no_error(tmp_path, number):
    """As a terminal or a scheduler sends it: to the data workers as well."""
    config, out = endless(tmp_path, workers=2), tmp_path / 'out'
    command = [sys.executable, '-m', 'metric_depth_ros.cli.main', *arguments(config, out)]
    code, said = stopped(command, out, lambda process: os.killpg(process.pid, number))
    (checkpoint,) = (out / 'checkpoints').iterdir()
    assert code == 0
    assert checkpoint.name == f'step_{journal(out)[-1]["step"]:08d}'
    assert 'Traceback' not in said


def test_journal_pictures_figures_and_weights_are_written(tmp_path):
    unseen = write_shards(tmp_path / 'unseen', count=4, first=100)
    config = write_config(
        tmp_path,
        steps=2,
        validation=[{'path': str(unseen)}],
        every={'log': 1, 'validate': 2, 'checkpoint': 2, 'pictures': 2},
    )
    train(config, tmp_path / 'out')
    (figures,) = journal(tmp_path / 'out', 'validation')
    assert figures['abs_rel'] > 0
    assert figures['baseline_abs_rel'] > 0
    for name in ('pictures/step_00000002.png', 'weights.safetensors', 'best.safetensors'):
        assert (tmp_path / 'out' / name).is_file()


def test_old_checkpoints_are_removed(tmp_path):
    every = {'log': 1, 'validate': 0, 'checkpoint': 1, 'pictures': 0, 'keep': 2}
    train(write_config(tmp_path, steps=4, every=every), tmp_path / 'out')
    names = sorted(path.name for path in (tmp_path / 'out/checkpoints').iterdir())
    assert names == ['step_00000003', 'step_00000004']


def test_missing_accelerate_is_one_sentence(finished, capsys, monkeypatch, tmp_path):
    config, _ = finished
    monkeypatch.setitem(sys.modules, 'accelerate', None)
    assert train(config, tmp_path / 'out') == 2
    assert 'the package accelerate: pip install accelerate.' in capsys.readouterr().err


@pytest.mark.parametrize('other', [False, True], ids=['same', 'others'])
def test_weights_are_best_of_one_set_of_examples(tmp_path, other):
    seen = [write_shards(tmp_path / name, count=1, first=n) for name, n in (('a', 100), ('b', 9))]
    every = {'log': 1, 'validate': 1, 'checkpoint': 1, 'pictures': 0}
    out, journaled = tmp_path / 'out', tmp_path / 'out/metrics.jsonl'
    for steps, folder in ((1, seen[0]), (2, seen[other])):
        sources = [{'path': str(folder)}]
        config = write_config(tmp_path, steps=steps, every=every, validation=sources)
        train(config, out, *(['--resume'] if steps == 2 else []))
        if steps == 1:
            before = (out / 'best.safetensors').read_bytes()
            lines = [json.loads(line) for line in journaled.read_text().splitlines()]
            best = [{**line, 'ratio': -1.0} if 'ratio' in line else line for line in lines]
            journaled.write_text(''.join(json.dumps(line) + '\n' for line in best))
    assert ((out / 'best.safetensors').read_bytes() != before) is other


def test_another_training_is_not_resumed(finished, capsys, tmp_path):
    config, _ = finished
    train(config, tmp_path / 'out', '--until', '3')
    changed = tmp_path / 'changed.yaml'
    changed.write_text(config.read_text() + 'seed: 7\n')
    assert train(changed, tmp_path / 'out', '--resume') == 2
    assert 'seed was 0, is 7' in capsys.readouterr().err


def test_a_training_whose_data_have_grown_is_not_resumed(capsys, tmp_path):
    config = write_config(tmp_path, steps=6)
    train(config, tmp_path / 'out', '--until', '2')
    write_shards(tmp_path / 'shards', count=16)
    assert train(config, tmp_path / 'out', '--resume') == 2
    assert 'examples was [' in capsys.readouterr().err


def test_a_checkpoint_holds_the_options_that_the_configuration_leaves_out(
    finished, capsys, tmp_path
):
    config, _ = finished
    train(config, tmp_path / 'out', '--until', '2')
    path = tmp_path / 'out/checkpoints/step_00000002/state.json'
    state = json.loads(path.read_text())
    state['config']['options']['held_weight'] = 0.125  # as if it had been the default
    path.write_text(json.dumps(state))
    assert train(config, tmp_path / 'out', '--resume') == 2
    assert 'options.held_weight was 0.125, is 1.0' in capsys.readouterr().err


def with_network(config, path, network):
    """Write the configuration with another shape of its network."""
    content = {**yaml.safe_load(config.read_text()), 'network': network}
    path.write_text(yaml.safe_dump(content), 'utf-8')
    return path


NETWORK = {'widths': [4, 8, 8, 8, 8], 'blocks': [1, 1, 1, 1, 1]}


def kept_as_written(out):
    """Give a checkpoint of step 2 the network as the configuration has it, as was once stored."""
    path = out / 'checkpoints/step_00000002/state.json'
    state = json.loads(path.read_text())
    state['config']['network'] = NETWORK
    path.write_text(json.dumps(state))


@pytest.mark.parametrize('keep', [lambda out: None, kept_as_written], ids=['now', 'once'])
@pytest.mark.parametrize(
    ('network', 'named'),
    [
        ({**NETWORK, 'rounds': 5}, 'network.rounds was 3, is 5'),
        ({'blocks': NETWORK['blocks']}, 'network.widths was [4, 8, 8, 8, 8], is ['),
    ],
)
def test_a_network_that_differs_in_what_is_left_out_is_not_resumed(
    finished, capsys, tmp_path, keep, network, named
):
    config, _ = finished
    train(config, tmp_path / 'out', '--until', '2')
    keep(tmp_path / 'out')
    changed = with_network(config, tmp_path / 'changed.yaml', network)
    assert train(changed, tmp_path / 'out', '--resume') == 2
    assert named in capsys.readouterr().err


def test_the_same_network_is_resumed_however_it_is_written(finished, tmp_path):
    config, whole = finished
    train(config, tmp_path / 'out', '--until', '2')
    kept_as_written(tmp_path / 'out')
    spelled = with_network(config, tmp_path / 'spelled.yaml', {**NETWORK, 'rounds': 3})
    assert train(spelled, tmp_path / 'out', '--resume') == 0
    assert same(weights(whole, 6), weights(tmp_path / 'out', 6))


def test_a_checkpoint_from_before_a_key_of_data_was_there_is_resumed(finished, tmp_path):
    config, whole = finished
    train(config, tmp_path / 'out', '--until', '2')
    path = tmp_path / 'out/checkpoints/step_00000002/state.json'
    state = json.loads(path.read_text())
    del state['config']['data'][0]['metric']
    path.write_text(json.dumps(state))
    assert train(config, tmp_path / 'out', '--resume') == 0
    assert same(weights(whole, 6), weights(tmp_path / 'out', 6))


def test_checkpoints_are_not_overwritten_unasked(finished, capsys):
    config, whole = finished
    assert train(config, whole) == 2
    assert '--resume' in capsys.readouterr().err


def test_checkpoint_of_another_network_is_refused(finished, capsys, tmp_path):
    config, _ = finished
    train(config, tmp_path / 'out', '--until', '3')
    save_file(
        {'other': torch.zeros(1)},
        tmp_path / 'out/checkpoints/step_00000003/network.safetensors',
    )
    assert train(config, tmp_path / 'out', '--resume') == 2
    assert 'another network' in capsys.readouterr().err


@pytest.mark.parametrize('stem', ['network', 'optimizer', 'mean'])
def test_pickle_in_a_checkpoint_is_refused_and_not_executed(finished, capsys, tmp_path, stem):
    config, _ = finished
    train(config, tmp_path / 'out', '--until', '3')
    file = tmp_path / f'out/checkpoints/step_00000003/{stem}.safetensors'
    torch.save({'state_dict': Evil(tmp_path / 'executed')}, file)
    assert train(config, tmp_path / 'out', '--resume') == 2
    assert str(file) in capsys.readouterr().err
    assert not (tmp_path / 'executed').exists()


def test_malicious_weights_to_start_from_are_refused_and_not_executed(capsys, tmp_path):
    torch.save({'state_dict': Evil(tmp_path / 'executed')}, tmp_path / 'evil.pt')
    config = write_config(tmp_path, start_from=str(tmp_path / 'evil.pt'))
    assert train(config, tmp_path / 'out') == 2
    assert 'evil.pt' in capsys.readouterr().err
    assert not (tmp_path / 'executed').exists()


def test_training_starts_from_given_weights(finished, tmp_path):
    _, whole = finished
    given = whole / 'weights.safetensors'
    config = write_config(
        tmp_path, start_from=str(given), steps=1, optimizer={'rate': 0.0}, ema_decay=0.0
    )
    train(config, tmp_path / 'out')
    start, end = (
        load_file(folder / 'weights.safetensors') for folder in (whole, tmp_path / 'out')
    )
    assert all(torch.equal(start[name], end[name]) for name in start)


def test_a_resumed_training_needs_no_weights_to_start_from(finished, tmp_path):
    _, whole = finished
    given = shutil.copy(whole / 'weights.safetensors', tmp_path / 'given.safetensors')
    config = write_config(tmp_path, start_from=str(given), steps=2)
    train(config, tmp_path / 'out', '--until', '1')
    given.unlink()
    assert train(config, tmp_path / 'out', '--resume') == 0
