# SPDX-License-Identifier: Apache-2.0
"""The package builds in a colcon workspace, and what is sourced then holds its commands."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from metric_depth_ros import __version__

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = 'metric_depth_ros'
# Python and colcon may be those of a virtual environment that nobody has activated.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get('PATH', os.defpath)])
COLCON = shutil.which('colcon', path=PATH)
pytestmark = pytest.mark.skipif(COLCON is None, reason='colcon is not installed')


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    """A workspace in which the package was built, without its weights."""
    folder = tmp_path_factory.mktemp('workspace')
    unbuilt = shutil.ignore_patterns(
        '.*', '__pycache__', '*.egg-info', '*.safetensors', 'out', 'build', 'install', 'log',
        'docs', 'test', 'scripts',
    )  # fmt: skip
    shutil.copytree(ROOT, folder / 'src' / PACKAGE, ignore=unbuilt)
    built = subprocess.run(
        [COLCON, 'build'], cwd=folder, env={**os.environ, 'PATH': PATH},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder


def sourced(workspace, command):
    """Return what a command prints in a shell that sources the workspace."""
    done = subprocess.run(
        ['bash', '-c', f'. install/setup.bash && {command}'], cwd=workspace,
        env={'PATH': PATH, 'HOME': str(workspace)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_sourcing_the_workspace_puts_the_command_on_the_path(workspace):
    found, version = sourced(workspace, 'command -v metric-depth && metric-depth --version')
    assert Path(found) == workspace / 'install' / PACKAGE / 'lib' / PACKAGE / 'metric-depth'
    assert version == __version__


def test_ros2_run_finds_every_executable(workspace):
    """It looks into lib/PACKAGE of the prefix that the index of ament names."""
    names = {e.name for e in entry_points(group='console_scripts') if e.value.startswith(PACKAGE)}
    prefix = workspace / 'install' / PACKAGE
    assert (prefix / 'share/ament_index/resource_index/packages' / PACKAGE).is_file()
    assert {path.name for path in (prefix / 'lib' / PACKAGE).iterdir()} == names


def test_executables_run_with_the_python_of_the_shell(workspace):
    """So that they find what a virtual environment holds, which colcon itself is not in."""
    script = workspace / 'install' / PACKAGE / 'lib' / PACKAGE / 'metric-depth'
    assert script.read_text().splitlines()[0] == '#!/usr/bin/env python3'
