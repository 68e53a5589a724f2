# SPDX-License-Identifier: Apache-2.0
"""What a user of an unsupported machine is told, and what becomes of a broken .venv."""

import importlib.util
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / 'scripts' / 'setup_venv.py'
THIS = '{}.{}'.format(*sys.version_info)


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
    assert 'sudo apt-get install -y libusb-1.0-0 libgl1 libegl1' in capsys.readouterr().err


@pytest.fixture
def checkout(setup_venv, tmp_path, monkeypatch):
    """Return a checkout whose pip installs nothing and lists, as `ran`, how it was called."""
    for name in ('setup.py', 'constraints.txt'):
        (tmp_path / name).write_text('')
    monkeypatch.setattr(setup_venv, 'ROOT', tmp_path)
    monkeypatch.setattr(setup_venv, 'VENV', tmp_path / '.venv')
    setup_venv.ran, setup_venv.pip_code = [], 0

    def create(folder, *, clear=False, with_pip=False):
        if clear:
            shutil.rmtree(folder, ignore_errors=True)
        (folder / 'bin').mkdir(parents=True, exist_ok=True)
        write_pip(folder, folder, THIS)

    def run(command, **options):
        if 'install' not in command:
            return subprocess_run(command, **options)
        setup_venv.ran.append(command)
        return subprocess.CompletedProcess(command, setup_venv.pip_code)

    subprocess_run = subprocess.run
    monkeypatch.setattr(setup_venv.subprocess, 'run', run)
    monkeypatch.setattr(venv, 'create', create)
    return setup_venv


def write_pip(folder, home, version):
    """Write the pip of an environment that was made at `home`, for a version of Python."""
    pip = folder / 'bin' / 'pip'
    where = f'{home}/lib/python{version}/site-packages/pip'
    pip.write_text(f'#!/bin/sh\necho "pip 25.0 from {where} (python {version})"\n')
    pip.chmod(0o755)


def test_a_whole_environment_is_filled_once(checkout):
    checkout.fill('embedded')
    checkout.fill('embedded')
    assert len(checkout.ran) == 1


def test_an_environment_without_pip_is_made_anew(checkout):
    checkout.fill('embedded')
    (checkout.VENV / 'bin' / 'pip').unlink()
    checkout.fill('embedded')
    assert len(checkout.ran) == 2


@pytest.mark.parametrize(('home', 'version'), [('/elsewhere/.venv', None), (None, '3.9')])
def test_an_environment_of_another_place_or_python_is_made_anew(checkout, home, version):
    checkout.fill('embedded')
    write_pip(checkout.VENV, home or checkout.VENV, version or THIS)
    checkout.fill('embedded')
    assert len(checkout.ran) == 2


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason='not in a virtual environment')
def test_this_environment_is_whole(setup_venv, monkeypatch):
    monkeypatch.setattr(setup_venv, 'VENV', Path(sys.prefix))
    assert setup_venv.is_whole()


def test_an_environment_that_cannot_be_made_leaves_nothing_and_names_the_package(
    checkout, monkeypatch
):
    def fail(folder, **_):
        (folder / 'bin').mkdir(parents=True)
        raise subprocess.CalledProcessError(1, ['python', '-m', 'ensurepip'])

    monkeypatch.setattr(venv, 'create', fail)
    with pytest.raises(SystemExit, match=r'could not be made: .*python3\.\d+-venv'):
        checkout.fill('embedded')
    assert not checkout.VENV.exists()


def test_a_pip_that_fails_is_one_sentence_and_is_tried_again(checkout):
    checkout.pip_code = 1
    with pytest.raises(SystemExit, match=r'network, the index .* and the proxy'):
        checkout.fill('embedded')
    checkout.pip_code = 0
    checkout.fill('embedded')
    assert len(checkout.ran) == 2


@pytest.mark.parametrize('terminal', [True, False])
def test_pip_shows_its_progress_on_a_terminal_alone(checkout, monkeypatch, terminal):
    monkeypatch.setattr(sys.stdout, 'isatty', lambda: terminal)
    checkout.fill('embedded')
    assert ('--quiet' in checkout.ran[0]) is not terminal
