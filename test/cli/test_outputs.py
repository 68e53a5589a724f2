# SPDX-License-Identifier: Apache-2.0
"""Files that commands write."""

import pytest

from metric_depth_ros.cli.outputs import whole_file
from metric_depth_ros.errors import InputError


def write_half(path):
    with whole_file(path, '--json') as part:
        part.write_text('half')
        raise OSError(28, 'No space left on device')


def test_a_file_that_cannot_be_written_to_its_end_leaves_the_old_one_alone(tmp_path):
    path = tmp_path / 'figures.json'
    path.write_text('old')
    with pytest.raises(InputError, match=r'--json .*figures\.json cannot be written: No space'):
        write_half(path)
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_link_names_is_written_and_the_link_stays(tmp_path):
    link, target = tmp_path / 'latest.json', tmp_path / 'run' / 'figures.json'
    target.parent.mkdir()
    link.symlink_to(target)
    with whole_file(link, '--json') as path:
        path.write_text('figures')
    assert link.is_symlink()
    assert target.read_text() == 'figures'
