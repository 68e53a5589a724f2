# SPDX-License-Identifier: Apache-2.0
"""The launch files load, and say what each of their arguments is for."""

import importlib.util
import logging
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('launch_ros') is None,
    reason='launch_ros of a ROS distribution is not installed',
)
FOLDER = Path(__file__).resolve().parents[2] / 'launch'
FILES = sorted(path.name for path in FOLDER.iterdir())


def loaded(name):
    from launch.launch_description_sources import (
        get_launch_description_from_python_launch_file,
    )

    return get_launch_description_from_python_launch_file(str(FOLDER / name))


def arguments(name):
    return {argument.name: argument for argument in loaded(name).get_launch_arguments()}


def started(name, **given):
    """Return the command that a launch file starts: launch puts `echo` before it."""
    from launch import LaunchDescription, LaunchService
    from launch.actions import IncludeLaunchDescription, RegisterEventHandler
    from launch.event_handlers import OnProcessIO
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    printed = []
    service = LaunchService(noninteractive=True)
    service.include_launch_description(
        LaunchDescription(
            [
                RegisterEventHandler(
                    OnProcessIO(on_stdout=lambda event: printed.append(event.text.decode()))
                ),
                IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(str(FOLDER / name)),
                    launch_arguments=[('launch-prefix', 'echo'), *given.items()],
                ),
            ]
        )
    )
    assert service.run() == 0
    return ''.join(printed).split()


def parameter_files(command):
    return [Path(path) for option, path in pairwise(command) if option == '--params-file']


@pytest.mark.parametrize('name', FILES)
def test_every_argument_has_a_description(name):
    undescribed = [
        argument.name
        for argument in arguments(name).values()
        if argument.description in ('', 'no description given')
    ]
    assert not undescribed


@pytest.mark.parametrize('name', ['camera_lidar.launch.py', 'rgbd.launch.py'])
def test_arguments_of_the_included_file_are_offered_too(name):
    assert arguments(name).keys() == arguments('depth.launch.py').keys()


@pytest.mark.parametrize('name', [n for n in FILES if n != 'bag_evaluation.launch.py'])
def test_nothing_has_to_be_given(name):
    assert all(a.default_value is not None for a in arguments(name).values())


def test_the_evaluation_needs_its_bag_and_nothing_else():
    needed = [
        a.name for a in arguments('bag_evaluation.launch.py').values() if not a.default_value
    ]
    assert needed == ['bag']


def test_topics_are_remapped_in_either_transport():
    command = started('camera_lidar.launch.py', image='/front/image_raw')
    assert 'image:=/front/image_raw' in command
    assert 'image/compressed:=/front/image_raw/compressed' in command
    assert 'points:=lidar/points' in command


def test_clicks_are_heard_beside_the_image_that_they_are_of():
    command = started('query.launch.py', image='/front/image_raw', target_frame='base_link')
    assert 'image_mouse_left:=/front/image_raw_mouse_left' in command
    shipped, given = parameter_files(command)
    assert shipped.name == 'query.yaml'
    values = yaml.safe_load(given.read_text())['/**']['ros__parameters']
    assert values == {'target_frame': 'base_link'}


def test_clicks_on_the_colored_depth_are_heard_beside_the_depth():
    command = started('query.launch.py', depth_image='/front/depth/image')
    assert 'depth/image:=/front/depth/image' in command
    assert 'depth/image_color_mouse_left:=/front/depth/image_color_mouse_left' in command


def test_parameters_left_empty_stay_those_of_the_file():
    command = started('rgbd.launch.py')
    assert [path.name for path in parameter_files(command)] == ['rgbd.yaml']


def test_parameters_given_win_over_the_file():
    command = started('camera_lidar.launch.py', autostart='false', extrinsics_path='123')
    shipped, given = parameter_files(command)
    assert shipped.name == 'generic.yaml'
    assert yaml.safe_load(given.read_text())['/**']['ros__parameters'] == {
        'autostart': False,
        'extrinsics.path': '123',
    }


def test_the_sources_of_depth_are_an_argument():
    command = started('depth.launch.py', radar='/front/radar', prompt_sources='[points, radar]')
    assert 'radar:=/front/radar' in command
    (_, given) = parameter_files(command)
    values = yaml.safe_load(given.read_text())['/**']['ros__parameters']
    assert values == {'prompt.sources': ['points', 'radar']}


@pytest.mark.parametrize('argument', ['radar', 'sensor_depth_image'])
def test_the_topic_of_a_sensor_that_nothing_listens_to_ends_the_launch(
    argument, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger('launch'), 'propagate', True)
    with pytest.raises(AssertionError):  # by `started`: launch ended with 1
        started('depth.launch.py', **{argument: '/front/sensor'})
    assert '/front/sensor is given for the source' in caplog.text
    assert 'nothing would listen' in caplog.text


def test_what_a_robot_listens_to_is_asked_of_the_section_of_its_namespace(tmp_path):
    path = tmp_path / 'robots.yaml'
    path.write_text(
        '/**: {ros__parameters: {estimator: classical}}\n'
        '/robot1/depth: {ros__parameters: {prompt.sources: [points, radar]}}\n'
    )
    command = started('depth.launch.py', namespace='robot1', radar='/radar', params_file=str(path))
    assert 'radar:=/radar' in command


def test_the_evaluation_hands_its_arguments_to_replay():
    command = started(
        'bag_evaluation.launch.py', bag='b.mcap', out='o', with_points='true', fail_if='mae_m>1'
    )
    assert Path(command[0]).name == 'metric-depth'
    assert command[1:3] == ['replay', 'b.mcap']
    assert {'--with-points', '--fail-if', 'mae_m>1'} <= set(command)
    assert command[command.index('--out') + 1] == 'o'
    assert not {'--param', '--params-file'} & set(command)  # the bag says what the node gets


def test_the_evaluation_takes_the_topics_and_the_parameters_that_it_is_given():
    command = started(
        'bag_evaluation.launch.py',
        bag='b',
        params_file='p.yaml',
        sensor_depth_image='/d',
        image='/i',
    )
    options = list(pairwise(command))
    assert parameter_files(command) == [Path('p.yaml')]
    topics = [topic for option, topic in options if option == '--topic']
    assert topics == ['image:=/i', 'sensor_depth/image:=/d']


def test_the_evaluation_leaves_it_to_replay_to_find_a_free_folder():
    command = started('bag_evaluation.launch.py', bag='b.mcap')
    assert command[1:3] == ['replay', 'b.mcap']
    assert not {'--out', '--json'} & set(command)
