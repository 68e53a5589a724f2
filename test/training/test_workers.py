# SPDX-License-Identifier: Apache-2.0
"""Worker processes that load examples."""

import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest
from tiny_training import write_config
from torch.utils.data import DataLoader

from metric_depth_ros.training.batches import _loader

pytest.importorskip('accelerate', reason="training needs accelerate: pip install '.[training]'")

TIMEOUT_S = 300.0  # it used to hang for ever


def test_workers_start_after_this_process_has_used_threads(tmp_path):
    every = {'log': 1, 'validate': 1, 'checkpoint': 0, 'pictures': 1}
    config = write_config(tmp_path, steps=3, workers=1, every=every)
    command = [sys.executable, '-m', 'metric_depth_ros.cli.main', 'train', 'compact']
    options = ['--config', str(config), '--out', str(tmp_path / 'out'), '--device', 'cpu']

    finished = subprocess.run(
        [*command, *options], timeout=TIMEOUT_S, env={**os.environ, 'OMP_NUM_THREADS': '2'}
    )

    assert finished.returncode == 0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_workers_outlive_what_stops_a_training(number):
    """Its last step, and a validation after it, need them still."""
    others = multiprocessing.active_children()
    answers = iter(DataLoader(list(range(100)), batch_size=None, **_loader(1)))
    assert next(answers) == 0
    (worker,) = set(multiprocessing.active_children()) - set(others)
    for pid in (psutil.Process(worker.pid).ppid(), worker.pid):
        os.kill(pid, number)
    assert list(answers) == list(range(1, 100))


FAILING = """
from torch.utils.data import DataLoader
from metric_depth_ros.training.batches import _loader

answers = iter(DataLoader(list(range(100)), batch_size=None, **_loader(1)))
next(answers)
raise RuntimeError('of a device')
"""


def test_a_training_that_fails_ends_with_its_workers():
    failed = subprocess.run([sys.executable, '-c', FAILING], timeout=TIMEOUT_S)
    assert failed.returncode == 1


ENDLESS = """
import signal
from torch.utils.data import DataLoader
from metric_depth_ros.training.batches import _loader

answers = iter(DataLoader(list(range(100)), batch_size=None, **_loader(1)))
print(next(answers), flush=True)
signal.pause()
"""


def test_workers_end_with_a_training_that_is_killed():
    """As when memory runs out: they would keep theirs."""
    training = psutil.Popen([sys.executable, '-c', ENDLESS], stdout=subprocess.PIPE)
    started = []
    try:
        assert training.stdout.readline() == b'0\n'
        started = training.children(recursive=True)
        assert len(started) > 1  # their server and a worker
        training.kill()
        training.communicate(timeout=TIMEOUT_S)  # the output closes with the last that has it
    finally:
        for process in (training, *started):
            with suppress(psutil.NoSuchProcess):
                process.kill()
