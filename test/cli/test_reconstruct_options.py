# SPDX-License-Identifier: Apache-2.0
"""What `metric-depth reconstruct` refuses before it reads its source; the rest is elsewhere."""

import pytest

from metric_depth_ros.cli.main import main
from metric_depth_ros.framesets import INDEX_NAME


@pytest.fixture
def refused(tmp_path, capsys):
    """Return what runs the command, sees that it is refused and writes nothing, and its words."""

    def run(kind, *arguments):
        source = tmp_path / kind
        source.mkdir()
        if kind == 'frame_set':
            (source / INDEX_NAME).write_text('{}')
        assert main(['reconstruct', str(source), *map(str, arguments)]) == 2
        assert list(tmp_path.iterdir()) == [source]
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize('name', ['m.obj', 'm', 'ply'])
@pytest.mark.parametrize('option', ['--out', '--cloud'])
def test_a_name_of_another_format_is_refused(option, name, refused, tmp_path):
    other = [] if option == '--out' else ['--out', tmp_path / 'm.ply']
    said = refused('bag', *other, option, tmp_path / name)
    assert f'{option} {tmp_path / name} has the ending' in said
    assert '.ply' in said


@pytest.mark.parametrize(
    ('first', 'second'), [('--out', '--cloud'), ('--cloud', '--json'), ('--json', '--rerun')]
)
def test_one_name_for_two_files_is_refused(first, second, refused, tmp_path):
    paths = {'--out': tmp_path / 'mesh.ply', first: tmp_path / 'm.ply'}
    paths[second] = tmp_path / 'bag' / '..' / 'm.ply'
    said = refused('bag', *(word for pair in paths.items() for word in pair))
    assert f'{first} and {second} are both {tmp_path / "m.ply"}' in said


def test_the_prompt_of_a_frame_set_is_refused_for_a_bag(refused, tmp_path):
    said = refused('bag', '-o', tmp_path / 'm.ply', '--prompt', 'nope')
    assert '--prompt nope is of a frame set' in said


@pytest.mark.parametrize('source', ['sensor', 'published'])
def test_options_of_networks_are_refused_for_depth_that_is_there(source, refused, tmp_path):
    said = refused('bag', '-o', tmp_path / 'm.ply', '--estimator', source, '--precision', 'bf16')
    assert f"estimator {source} does not use precision 'bf16'" in said


@pytest.mark.parametrize(
    ('option', 'value'), [('--odometry', '/odometry'), ('--topic', 'image:=/mine')]
)
def test_the_topics_of_a_bag_are_refused_for_a_frame_set(option, value, refused, tmp_path):
    said = refused('frame_set', '-o', tmp_path / 'm.ply', option, value)
    assert f'{option} {value} is of a bag' in said
