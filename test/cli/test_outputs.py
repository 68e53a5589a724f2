# SPDX-License-Identifier: Apache-2.0
"""Files that commands write."""

import pytest

from metric_depth_ros.cli.outputs import folder_for, whole_file
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


def refuse_in(folder, content=None):
    with folder_for(folder, '--out'):
        if content is not None:
            (folder / 'node.log').write_text(content)
        raise InputError('bag_topics', 'refused')


def test_a_refusal_removes_the_empty_folders_that_were_made_for_it(tmp_path):
    (tmp_path / 'there').mkdir()
    with pytest.raises(InputError, match='refused'):
        refuse_in(tmp_path / 'there' / 'out' / 'replay')
    assert [path.name for path in tmp_path.rglob('*')] == ['there']


def test_a_refusal_keeps_the_folders_that_hold_something_or_were_there(tmp_path):
    (tmp_path / 'there').mkdir()
    with pytest.raises(InputError, match='refused'):
        refuse_in(tmp_path / 'there')
    with pytest.raises(InputError, match='refused'):
        refuse_in(tmp_path / 'out' / 'replay', 'what the node said')
    assert (tmp_path / 'there').is_dir()
    assert (tmp_path / 'out' / 'replay' / 'node.log').is_file()


def test_what_a_link_names_is_written_and_the_link_stays(tmp_path):
    link, target = tmp_path / 'latest.json', tmp_path / 'run' / 'figures.json'
    target.parent.mkdir()
    link.symlink_to(target)
    with whole_file(link, '--json') as path:
        path.write_text('figures')
    assert link.is_symlink()
    assert target.read_text() == 'figures'
