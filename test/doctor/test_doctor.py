# SPDX-License-Identifier: Apache-2.0
"""The doctor names gaps and their remedies, and never breaks on a broken library."""

import pytest

from metric_depth_ros import doctor


def test_a_library_that_does_not_import_is_missing_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / 'broken_library.py').write_text("raise OSError('libfoo.so.1 not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    finding = doctor._needed('broken_library', 'broken-library', 'tests', 'apt install libfoo1')
    assert finding.state == 'missing'
    assert 'libfoo.so.1 not found' in finding.detail
    assert finding.remedy == 'apt install libfoo1'


def test_a_library_that_is_not_installed_is_missing():
    finding = doctor._needed('no_such_library', 'no-such', 'tests', 'pip install no-such')
    assert (finding.state, finding.remedy) == ('missing', 'pip install no-such')


def test_no_ros_at_all_is_missing(monkeypatch):
    monkeypatch.delenv('ROS_DISTRO', raising=False)
    monkeypatch.setattr(doctor, 'find_spec', lambda name: None)
    assert doctor._distribution().state == 'missing'


def test_a_sourced_distribution_is_named(monkeypatch):
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    assert doctor._distribution().detail == 'jazzy (sourced)'


@pytest.mark.parametrize(
    'variable', ['FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE']
)
def test_a_dds_profile_of_the_user_is_respected_and_named(variable, monkeypatch):
    monkeypatch.delenv('FASTRTPS_DEFAULT_PROFILES_FILE', raising=False)
    monkeypatch.delenv('FASTDDS_DEFAULT_PROFILES_FILE', raising=False)
    monkeypatch.setenv(variable, 'mine.xml')
    assert 'mine.xml (chosen by you)' in doctor._dds_profile().detail


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
