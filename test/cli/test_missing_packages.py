# SPDX-License-Identifier: Apache-2.0
"""Commands where a Python package is not installed: one sentence that says how to get it."""

import os
import subprocess
import sys

import pytest
from without_package import python_path_without


@pytest.mark.parametrize(
    ('command', 'package', 'remedy'),
    [
        (('simulate', '--scene', 'tabletop', 'bag'), 'torch', 'pip install torch.'),
        (('replay', '.'), 'rosbags', 'pip install rosbags.'),
        (('run',), 'rclpy', 'sudo apt install ros-$ROS_DISTRO-rclpy and source its setup.bash'),
        (('benchmark', '--help'), 'numpy', 'sudo apt install python3-numpy'),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_package_that_a_command_needs_is_named_in_one_sentence(
    command, package, remedy, tmp_path
):
    result = subprocess.run(
        [sys.executable, '-m', 'metric_depth_ros.cli.main', *command],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': python_path_without(package, tmp_path)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    said = f'the Python package {package} is not installed'
    assert line.startswith((f'metric-depth {command[0]}: {said}', f'depth: {said}'))
    assert remedy in line


@pytest.mark.parametrize('command', ['run', 'replay', 'demo', 'torture', 'bench'])
def test_a_middleware_that_is_not_installed_is_named_before_rclpy_ends_the_process(
    command, tmp_path
):
    result = subprocess.run(
        [sys.executable, '-m', 'metric_depth_ros.cli.main', command]
        + {'replay': ['.'], 'bench': ['node']}.get(command, []),
        cwd=tmp_path, env={**os.environ, 'RMW_IMPLEMENTATION': 'rmw_nowhere_cpp'},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "RMW_IMPLEMENTATION is 'rmw_nowhere_cpp'" in line
    assert 'unset RMW_IMPLEMENTATION, or install that middleware' in line
