# SPDX-License-Identifier: Apache-2.0
"""Files that get their name when they have been written to their end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metric_depth_ros.whole_files import whole_file, write_whole


def write_half(path):
    with whole_file(path) as part:
        part.write_text('half')
        raise KeyboardInterrupt


def test_what_fails_leaves_the_file_of_before_and_nothing_else(tmp_path):
    path = tmp_path / 'settings.json'
    write_whole(path, 'old')
    with pytest.raises(KeyboardInterrupt):
        write_half(path)
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_two_who_write_one_file_at_a_time_do_not_meet(tmp_path):
    path = tmp_path / 'settings.json'
    with whole_file(path) as first:
        first.write_text('first')
        write_whole(path, 'second')
        assert path.read_text() == 'second'
    assert path.read_text() == 'first'
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_file_is_written_itself():
    with whole_file(Path('/dev/null')) as path:
        assert path == Path('/dev/null')
    assert not path.is_file()


def test_what_fails_leaves_what_a_link_names_as_it_was(tmp_path):
    link, target = tmp_path / 'latest.json', tmp_path / 'elsewhere' / 'figures.json'
    target.parent.mkdir()
    target.write_text('old')
    link.symlink_to(target)
    with pytest.raises(KeyboardInterrupt):
        write_half(link)
    assert link.is_symlink()
    assert target.read_text() == 'old'
    assert list(target.parent.iterdir()) == [target]


def test_what_the_process_prints_to_stays_the_same_file(tmp_path):
    code = (
        'from pathlib import Path; from metric_depth_ros.whole_files import write_whole; '
        "write_whole(Path('/dev/stdout'), 'whole')"
    )
    out = tmp_path / 'out.txt'
    with out.open('w') as stream:
        subprocess.run([sys.executable, '-c', code], stdout=stream, check=True)
        assert out.stat().st_ino == os.fstat(stream.fileno()).st_ino
    assert out.read_text() == 'whole'


def test_what_a_link_names_is_written_and_the_link_stays(tmp_path):
    link, target = tmp_path / 'latest.json', tmp_path / 'figures.json'
    link.symlink_to(target)
    write_whole(link, 'figures')
    assert link.is_symlink()
    assert target.read_text() == 'figures'
