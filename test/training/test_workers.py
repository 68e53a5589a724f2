# SPDX-License-Identifier: Apache-2.0
"""Worker processes that load examples."""

import os
import subprocess
import sys

import pytest
from tiny_training import write_config

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
