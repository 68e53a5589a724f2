# SPDX-License-Identifier: Apache-2.0
"""What a user of an unsupported machine is told."""

import importlib.util
import platform
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / 'scripts' / 'setup_venv.py'


@pytest.fixture
def setup_venv():
    spec = importlib.util.spec_from_file_location('setup_venv', SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_this_machine_is_supported(setup_venv):
    assert setup_venv.platform_problem() is None


def test_arm64_is_told_to_use_a_ros_distribution(setup_venv, monkeypatch):
    monkeypatch.setattr(platform, 'machine', lambda: 'aarch64')
    assert 'aarch64' in setup_venv.platform_problem()
    assert 'colcon build' in setup_venv.platform_problem()


def test_an_old_python_is_told_which_ones_work(setup_venv, monkeypatch):
    monkeypatch.setattr(sys, 'version_info', (3, 8, 10))
    assert 'Python 3.8.10 is not supported' in setup_venv.platform_problem()


def test_musl_is_told_about_glibc(setup_venv, monkeypatch):
    monkeypatch.setattr(platform, 'libc_ver', lambda: ('', ''))
    assert 'glibc 2.28' in setup_venv.platform_problem()


def test_a_missing_system_library_is_named_with_the_command(setup_venv, monkeypatch, capsys):
    monkeypatch.setattr(setup_venv.ctypes.util, 'find_library', lambda name: None)
    monkeypatch.setattr(setup_venv.os, 'geteuid', lambda: 1000)
    assert not setup_venv.provide_system_libraries()
    assert 'sudo apt-get install -y libusb-1.0-0' in capsys.readouterr().err
