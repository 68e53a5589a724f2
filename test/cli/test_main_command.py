# SPDX-License-Identifier: Apache-2.0
"""The `metric-depth` command itself: help, bad usage, bad input."""

import subprocess
import sys
from argparse import Namespace

import pytest

from metric_depth_ros.cli.main import COMMANDS, main
from metric_depth_ros.cli.run import ros_arguments
from metric_depth_ros.errors import InputError


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'metric_depth_ros.cli.main', *arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_help_names_every_command():
    result = run('--help')
    assert result.returncode == 0
    assert all(name in result.stdout for name in COMMANDS)
    assert '  metric-depth complete IMAGE.jpg --camera' in result.stdout
    assert '`run` is the depth node.' in result.stdout


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, '--help'])
    assert ended.value.code == 0
    assert 'usage: metric-depth' in capsys.readouterr().out


def test_an_unknown_command_is_bad_usage():
    result = run('paint')
    assert result.returncode == 2
    assert 'paint' in result.stderr


def test_bad_input_is_one_sentence_without_a_traceback(tmp_path):
    result = run('evaluate', str(tmp_path / 'nowhere'), '--json', str(tmp_path / 'out.json'))
    assert result.returncode == 2
    assert 'nowhere' in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize(
    'statement', ['import metric_depth_ros', 'import metric_depth_ros.cli.main']
)
def test_importing_the_package_loads_nothing_heavy(statement):
    heavy = ('torch', 'open3d', 'transformers', 'rclpy', 'cv2', 'scipy', 'numpy', 'matplotlib')
    code = f'{statement}; import sys; print([m for m in {heavy!r} if m in sys.modules])'
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == '[]'


def test_the_node_module_loads_no_torch_and_no_open3d():
    code = (
        'import metric_depth_ros.nodes.depth, sys; '
        "print([m for m in ('torch', 'open3d', 'transformers') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == '[]'


def test_a_full_disk_is_one_sentence_without_a_traceback(tmp_path, capsys, monkeypatch):
    import metric_depth_ros.bench.codecs as bench

    monkeypatch.setattr(bench, 'run', lambda rounds: [])
    (tmp_path / 'codecs.json').symlink_to('/dev/full')
    assert main(['bench', 'codecs', '--out', str(tmp_path)]) == 2
    assert 'No space left on device' in capsys.readouterr().err


@pytest.mark.parametrize(('name', 'found'), [('', 'is a folder'), ('none.yaml', 'does not exist')])
def test_a_parameter_file_that_is_none_is_refused_as_what_it_is(name, found, tmp_path):
    arguments = Namespace(params_file=[tmp_path / name], param=[], remap=[])
    with pytest.raises(InputError, match=f'--params-file .* {found}, expected a YAML file'):
        ros_arguments(arguments)


@pytest.mark.parametrize(('option', 'form'), [('param', 'NAME:=VALUE'), ('remap', 'FROM:=TO')])
def test_an_assignment_that_is_none_is_refused_in_the_words_of_the_help(option, form):
    arguments = Namespace(**{'params_file': [], 'param': [], 'remap': [], option: ['image=/a']})
    with pytest.raises(InputError, match=rf"'image=/a' has no \":=\": write -. {form}\."):
        ros_arguments(arguments)


@pytest.mark.parametrize(
    ('rule', 'said'),
    [
        ('images:=/cam', "no topic 'images'; did you mean image?"),
        ('/point:=/lidar', "no topic 'point'; did you mean points?"),
        *(
            (f'{name}:=/a', '')
            for name in ('image', '/points', 'front/image', 'depth/image_color', 'depth:image')
        ),
        *((f'{name}:=/a', '') for name in ('__node', 'sensor_depth/camera_info', 'tf')),
    ],
)
def test_a_misspelled_input_is_told_when_it_is_remapped(rule, said, capsys):
    assert ros_arguments(Namespace(params_file=[], param=[], remap=[rule]))[-1] == rule
    told = capsys.readouterr().err
    assert said in told
    assert bool(told) == bool(said)


def test_a_file_that_the_system_refuses_is_one_sentence(capsys, monkeypatch):
    import metric_depth_ros.cli.doctor as command

    def refuse(args):
        raise PermissionError(13, 'Permission denied', '/data/frames.json')

    monkeypatch.setattr(command, 'run', refuse)
    assert main(['doctor']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert '/data/frames.json cannot be used: Permission denied.' in line


def test_a_fault_of_the_system_that_names_no_file_stays_a_defect(monkeypatch):
    import metric_depth_ros.cli.doctor as command

    def fail(args):
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr(command, 'run', fail)
    with pytest.raises(OSError, match='Input/output error'):
        main(['doctor'])
