# SPDX-License-Identifier: Apache-2.0
"""launch/realsense.launch.py starts the process that is asked for, with what is given."""

import importlib.util
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.ros.realsense.parameters import REALSENSE_NODE

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('launch_ros') is None,
    reason='launch_ros of a ROS distribution is not installed',
)
LAUNCH_FILE = Path(__file__).resolve().parents[2] / 'launch/realsense.launch.py'


def started(**given):
    """Return the command that is started: launch puts `echo` before it."""
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
                    PythonLaunchDescriptionSource(str(LAUNCH_FILE)),
                    launch_arguments=[('launch-prefix', 'echo'), *given.items()],
                ),
            ]
        )
    )
    assert service.run() == 0
    return ''.join(printed).split()


def parameters(command):
    """Return the files of parameters: the shipped one's name, and what was given."""
    files = [Path(path) for option, path in pairwise(command) if option == '--params-file']
    return files[0].name, yaml.safe_load(files[1].read_text())


def test_camera_and_depth_are_one_process_by_default():
    command = started(namespace='robot', serial_number='018322071045', estimator='nearest')
    assert Path(command[0]).name == 'realsense_depth'
    assert '__ns:=/robot' in command
    shipped, given = parameters(command)
    assert shipped == 'realsense_depth.yaml'
    assert given['/**/camera']['ros__parameters'] == {'serial_number': '018322071045'}
    assert given['/**/depth']['ros__parameters'] == {'estimator': 'nearest'}


def test_the_camera_may_be_alone():
    command = started(depth='false', playback_file='drive.bag', playback_loop='false')
    assert Path(command[0]).name == 'realsense'
    shipped, given = parameters(command)
    assert shipped == 'realsense.yaml'
    assert given == {
        '/**/camera': {'ros__parameters': {'playback.file': 'drive.bag', 'playback.loop': False}}
    }


def test_nothing_given_is_as_the_shipped_file_says():
    _, given = parameters(started())
    assert given == {'/**': {'ros__parameters': {}}}


def test_arguments_that_set_parameters_agree_with_the_tables():
    spec = importlib.util.spec_from_file_location('realsense_launch', LAUNCH_FILE)
    file = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(file)
    for arguments, nodes in (
        (file.CAMERA_PARAMETERS, [REALSENSE_NODE]),
        (file.DEPTH_PARAMETERS, [DEPTH_NODE]),
        (file.PARAMETERS, [REALSENSE_NODE, DEPTH_NODE]),
    ):
        for name, kind, _ in arguments.values():
            assert all(node.rows[name].kind is kind for node in nodes)
