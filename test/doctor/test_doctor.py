# SPDX-License-Identifier: Apache-2.0
"""The doctor names gaps and their remedies, and never breaks on a broken library."""

import os
import subprocess
import sys

import pytest
from without_package import first_on_python_path

from metric_depth_ros import doctor
from metric_depth_ros.libraries import NEEDED, OPTIONAL, Library

BROKEN = Library('broken_library', 'broken-library', 'tests', 'apt install libfoo1')
_OF_DDS = (
    'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE', 'RMW_IMPLEMENTATION',
)  # fmt: skip
NOWHERE = Library('no_such_library', 'no-such', 'tests', 'pip install no-such')


@pytest.mark.parametrize('state', ['missing', 'absent'])
def test_a_library_that_does_not_import_is_missing_with_its_reason(state, tmp_path, monkeypatch):
    (tmp_path / 'broken_library.py').write_text("raise OSError('libfoo.so.1 not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    finding = doctor._library(BROKEN, state)
    assert finding.state == 'missing'
    assert 'libfoo.so.1 not found' in finding.detail
    assert finding.remedy == 'apt install libfoo1'


@pytest.mark.parametrize('state', ['missing', 'absent'])
def test_a_library_that_is_not_installed_is_as_bad_as_it_is_needed(state):
    finding = doctor._library(NOWHERE, state)
    assert (finding.state, finding.remedy) == (state, 'pip install no-such')


@pytest.mark.parametrize(
    ('version', 'is_enough'), [('1.21.5', False), ('1.26', True), ('2.0.0rc1', True), ('', True)]
)
@pytest.mark.parametrize('state', ['missing', 'absent'])
def test_a_library_that_is_older_than_can_be_used_is_as_bad_as_none(
    state, version, is_enough, tmp_path, monkeypatch
):
    (tmp_path / 'old_library.py').write_text(f"print('hello')\n__version__ = '{version}'")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    library = Library('old_library', 'old-library', 'tests', 'apt install old', '1.26')
    finding = doctor._library(library, state)
    assert finding.state == ('ok' if is_enough else state)
    if not is_enough:
        assert '1.21.5 is too old, 1.26 or newer is needed' in finding.detail
        assert finding.remedy == "pip install 'old-library>=1.26'"


def test_a_broken_numpy_is_named_and_the_report_goes_on_to_its_end(tmp_path):
    (tmp_path / 'numpy.py').write_text("raise ImportError('libopenblas.so.0 not found')")
    result = subprocess.run(
        [sys.executable, '-m', 'metric_depth_ros.cli.main', 'doctor'],
        env={**os.environ, 'PYTHONPATH': first_on_python_path(tmp_path)},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert 'Traceback' not in result.stderr
    lines = {line[8:28].strip(): line for line in result.stdout.splitlines()}
    for subject in ('numpy', 'estimators'):
        assert lines[subject].startswith('MISSING')
        assert 'libopenblas.so.0 not found' in lines[subject]


def test_nothing_is_missing_where_rosdep_has_installed_what_the_package_names(monkeypatch):
    from_pypi = {library.module for library in OPTIONAL}
    monkeypatch.setattr(doctor, 'find_spec', lambda name: None if name in from_pypi else object())
    monkeypatch.setattr(doctor, '_python', lambda code: ('classical, nearest', ''))
    monkeypatch.setattr(doctor, 'shared_memory_bytes', lambda: 1 << 20)
    states = {finding.subject: finding.state for finding in doctor.examine()}
    assert 'missing' not in states.values()
    assert {states[module] for module in from_pypi} == {'absent'}


def test_every_library_that_the_nodes_and_commands_load_is_looked_for():
    looked_for = {library.module for library in (*NEEDED, *OPTIONAL)}
    assert {'yaml', 'psutil', 'rich', 'transformers', 'safetensors', 'PIL'} <= looked_for
    assert {'onnx', 'onnxscript', 'hypothesis'} <= looked_for


def test_no_ros_at_all_is_missing(monkeypatch):
    monkeypatch.delenv('ROS_DISTRO', raising=False)
    monkeypatch.setattr(doctor, 'find_spec', lambda name: None)
    assert doctor._distribution().state == 'missing'


def test_a_sourced_distribution_is_named(monkeypatch):
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    assert doctor._distribution().detail == 'jazzy (sourced)'


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """Return where a ROS is installed whose rclpy ends a process without its middleware."""
    packages = tmp_path / 'lib' / 'python3' / 'site-packages'
    (packages / 'rclpy').mkdir(parents=True)
    (packages / 'rclpy' / '__init__.py').write_text(
        "import os; os.environ.get('RMW_IMPLEMENTATION') and os._exit(102)"
    )
    monkeypatch.delitem(sys.modules, 'rclpy', raising=False)
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setenv('PYTHONPATH', first_on_python_path(packages))
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_nowhere_cpp')
    return tmp_path


def test_a_middleware_that_is_not_installed_is_missing_and_rclpy_is_not(prefix):
    finding = doctor._middleware()
    assert finding.state == 'missing'
    assert "RMW_IMPLEMENTATION is 'rmw_nowhere_cpp'" in finding.detail
    assert finding.remedy.startswith('unset RMW_IMPLEMENTATION, or install that middleware')
    rclpy = next(library for library in NEEDED if library.module == 'rclpy')
    assert doctor._library(rclpy, 'missing').state == 'ok'


@pytest.mark.parametrize('variable', ['', 'AMENT_PREFIX_PATH', 'LD_LIBRARY_PATH'])
def test_a_middleware_beside_rclpy_or_on_the_paths_of_ros_is_found(variable, prefix, monkeypatch):
    folder = prefix / variable / 'lib'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'librmw_nowhere_cpp.so').touch()
    if variable:
        path = folder if variable == 'LD_LIBRARY_PATH' else folder.parent
        monkeypatch.setenv(variable, str(path))
    assert doctor._middleware().state == 'ok'


@pytest.fixture
def no_profile_chosen(monkeypatch):
    for variable in _OF_DDS:
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


@pytest.mark.parametrize('variable', _OF_DDS[:2])
def test_a_dds_profile_of_the_user_is_respected_and_named(variable, tmp_path, no_profile_chosen):
    profile = tmp_path / 'mine.xml'
    no_profile_chosen.setenv(variable, str(profile))
    profile.write_text('<dds/>')
    assert 'mine.xml (chosen by you)' in doctor._dds_profile().detail


@pytest.mark.parametrize('text', [None, 'hello', '<?xml version="1.0" encoding="none"?><dds/>'])
def test_a_dds_profile_that_cannot_be_read_is_missing(text, tmp_path, no_profile_chosen):
    profile = tmp_path / 'mine.xml'
    no_profile_chosen.setenv('FASTDDS_DEFAULT_PROFILES_FILE', str(profile))
    if text is not None:
        profile.write_text(text)
    finding = doctor._dds_profile()
    assert finding.state == 'missing'
    assert f'the Fast DDS profile {profile} cannot be read' in finding.detail
    assert 'FASTDDS_DEFAULT_PROFILES_FILE' in finding.remedy
    no_profile_chosen.setenv('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')
    assert doctor._dds_profile().state == 'absent'


def test_the_shipped_dds_profile_is_told_to_those_who_start_other_nodes(no_profile_chosen):
    finding = doctor._dds_profile()
    assert finding.state == 'ok'
    assert 'for camera drivers and bag players export' in finding.remedy


def test_shared_memory_that_is_smaller_than_an_image_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, 'shared_memory_bytes', lambda: 512 * 1024)
    finding = doctor._shared_memory(str(tmp_path))
    assert finding.state == 'missing'
    assert finding.detail.startswith('0.5 MiB a process')
    assert 'config/fastdds.xml' in finding.remedy


def test_shared_memory_that_is_smaller_than_one_segment_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, 'shared_memory_bytes', lambda: 1 << 60)
    finding = doctor._shared_memory(str(tmp_path))
    assert finding.state == 'missing'
    assert '--shm-size' in finding.remedy


def test_shared_memory_with_room_says_how_large_messages_may_be(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, 'shared_memory_bytes', lambda: 1 << 20)
    finding = doctor._shared_memory(str(tmp_path))
    assert finding.state == 'ok'
    assert finding.detail.startswith('1 MiB a process')


def test_a_driver_that_hangs_is_told(tmp_path, monkeypatch):
    tool = tmp_path / 'nvidia-smi'
    tool.write_text('#!/bin/sh\nexec sleep 60\n')
    tool.chmod(0o755)
    monkeypatch.setattr(doctor.shutil, 'which', lambda name: str(tool))
    monkeypatch.setattr(doctor, 'GPU_TIMEOUT_S', 0.1)
    assert 'took over 0.1 s' in doctor._gpu().detail
