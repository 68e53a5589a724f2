# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import benchmark_folders
import pytest
import torch
from tiny_checkpoints import write_checkpoint

from metric_depth_ros.cli.main import main


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def metric_depth(capsys, monkeypatch) -> Callable[..., Done]:
    def command(*arguments: object, **environment: str) -> Done:
        for name in ('RANK', 'WORLD_SIZE'):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code = main(['benchmark', *map(str, arguments)])
        return Done(code, *capsys.readouterr())

    return command


@pytest.fixture
def arguments(tmp_path: Path) -> tuple[object, ...]:
    root = benchmark_folders.nyu(tmp_path / 'nyu')
    tasks = ('--task', '8x', '--task', 'Extreme')
    out = ('--out', tmp_path / 'out')
    return ('nyu', '--data', root, '--estimator', 'nearest', *tasks, *out)


def test_our_row_stands_beside_the_papers(metric_depth, arguments, tmp_path) -> None:
    done = metric_depth(*arguments)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / 'out/result.json').read_text())
    table = result['tables'][0]
    assert table['columns'] == ['8x', '16x', 'LiDAR', 'Extreme']
    eight, sixteen, _, extreme = table['ours']['values']
    assert 0.0 < eight < extreme < 50.0
    assert sixteen is None
    assert {'method': 'PromptDA', 'values': [1.61, 1.75, 17.59, 16.96]} in table['papers']
    assert '2 images of the 654' in result['remarks'][0]
    assert any('8 virtual lines' in choice for choice in result['choices'])
    text = (tmp_path / 'out/result.md').read_text()
    assert '| nearest (ours) |' in text
    assert '| PromptDA | 1.610 | 1.750 | 17.59 | 16.96 |' in text
    assert 'PromptDA' in (tmp_path / 'out/result.html').read_text()
    assert 'published draw is not known' in done.stderr


def test_several_processes_share_the_images_and_the_last_writes(
    metric_depth, arguments, tmp_path
) -> None:
    first = metric_depth(*arguments, RANK='0', WORLD_SIZE='2')
    assert first.returncode == 0, first.stderr
    assert '2 of 4 answers are left' in first.stderr
    assert not (tmp_path / 'out/result.json').exists()
    done = metric_depth(*arguments, RANK='1', WORLD_SIZE='2')
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / 'out/result.json').read_text())['images'] == 2
    # A later run with other processes has nothing left to do and comes to the same.
    other = metric_depth(*arguments)
    assert other.returncode == 0, other.stderr
    lines = [p.read_text().splitlines() for p in sorted((tmp_path / 'out').glob('records*'))]
    assert [len(part) for part in lines] == [2, 2]


def test_another_estimator_in_the_same_folder_is_refused(metric_depth, arguments) -> None:
    assert metric_depth(*arguments, '--limit', 1).returncode == 0
    done = metric_depth(*arguments, '--limit', 2)
    assert done.returncode == 2
    assert 'limit 1, this one has 2' in done.stderr


def test_other_weights_at_the_same_path_are_another_run(metric_depth, arguments, tmp_path) -> None:
    weights = write_checkpoint('student_pointmap', tmp_path)
    asked = (*arguments, '--estimator', 'student_pointmap', '--weights', weights)
    done = metric_depth(*asked, '--device', 'cpu')
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / 'out/result.json').read_text())
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert result['weights'] == {'student_pointmap': digest}
    assert (result['device'], result['options']['weights']) == ('cpu', str(weights))
    for page in ('result.md', 'result.html'):
        assert digest in (tmp_path / 'out' / page).read_text()
    assert metric_depth(*asked, '--device', 'cpu').returncode == 0
    content = torch.load(weights, weights_only=True)
    next(iter(content['model'].values())).add_(0.1)
    torch.save(content, weights)
    done = metric_depth(*asked, '--device', 'cpu')
    assert done.returncode == 2
    assert f"holds a run with weights {{'student_pointmap': '{digest}'}}" in done.stderr


def test_the_layout_is_printed(metric_depth) -> None:
    done = metric_depth('nyu', '--layout')
    assert done.returncode == 0
    assert 'sync_depth_NUMBER.png' in done.stdout
    assert 'Extreme' in done.stdout


def test_a_wrong_name_task_or_folder_exits_with_2(metric_depth, tmp_path) -> None:
    for wrong, message in (
        (('kitty',), 'expected one of nyu'),
        (('nyu',), '--data is missing'),
        (('nyu', '--data', tmp_path, '--task', '32x'), 'one of 8x, 16x'),
        (('nyu', '--data', tmp_path, '--out', tmp_path / 'o'), 'rgb_*.jpg matches no file'),
    ):
        done = metric_depth(*wrong)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('wrong', [('--data', '/nope'), ('--estimator', 'nope')])
def test_a_command_that_was_refused_can_be_given_again_corrected(
    metric_depth, arguments, wrong, tmp_path
) -> None:
    assert metric_depth(*arguments, *wrong).returncode == 2
    assert not (tmp_path / 'out').exists()
    corrected = metric_depth(*arguments)
    assert corrected.returncode == 0, corrected.stderr


def test_what_has_no_prediction_is_said(metric_depth, tmp_path: Path) -> None:
    root = benchmark_folders.sun(tmp_path / 'sun')
    out = tmp_path / 'out'
    done = metric_depth('sun', '--data', root, '--estimator', 'nearest', '--out', out)
    assert done.returncode == 0, done.stderr
    result = json.loads((out / 'result.json').read_text())
    assert 'metric: 100 % of the pixels have no usable prediction.' in result['remarks']
    assert result['tables'][0]['ours']['values'] == [0.0]
    assert '100 % of the pixels' in (out / 'result.md').read_text()


def test_accelerate_launch_starts_the_processes(arguments, tmp_path: Path) -> None:
    pytest.importorskip('accelerate')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    launch = ('accelerate.commands.launch', '--num_processes', '2', '--multi_gpu')
    module = ('-m', 'metric_depth_ros.cli.main', 'benchmark')
    done = subprocess.run(
        [
            *(sys.executable, '-m', *launch, '--main_process_port', str(port), *module),
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / 'out').glob('records-*.jsonl'))) == 2
    assert json.loads((tmp_path / 'out/result.json').read_text())['processes'] == 2
