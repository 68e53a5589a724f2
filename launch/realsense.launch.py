# SPDX-License-Identifier: Apache-2.0
"""Dense metric depth of a RealSense camera, in one process; no realsense-ros is needed.

``ros2 launch metric_depth_ros realsense.launch.py serial_number:=012345678901``, or
``playback_file:=drive.bag`` for a recording. ``depth:=false`` starts the camera alone. Whatever an
argument leaves empty is as the parameter file says.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch.utilities.type_utils import perform_typed_substitution
from launch_ros.actions import Node

from metric_depth_ros.launching import OUTPUT_TOPICS, parameter_arguments
from metric_depth_ros.middleware import dds_environment
from metric_depth_ros.resources import share_file

# Launch argument: (parameter of the camera, type, description).
CAMERA_PARAMETERS = {
    'serial_number': ('serial_number', str, 'Camera to open.'),
    'playback_file': ('playback.file', str, 'Recording to play instead.'),
    'playback_loop': ('playback.loop', bool, 'Begin the recording anew: true or false.'),
    'align_to_color': ('depth.align_to_color', bool, 'Depth in the pixels of the color image.'),
}
# Launch argument: (parameter of the depth node, type, description).
DEPTH_PARAMETERS = {
    'estimator': ('estimator', str, 'Depth method, e.g. classical, classical:fast.'),
    'device': ('device', str, 'Where the estimator runs: auto, cpu, cuda.'),
}
# Launch argument: (parameter of both, type, description).
PARAMETERS = {
    'autostart': ('autostart', bool, 'Configure and activate at start: true or false.'),
}


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, the process and RViz."""
    parameters = CAMERA_PARAMETERS | DEPTH_PARAMETERS | PARAMETERS
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'depth',
                default_value='true',
                description='Start the depth node in the same process: true or false.',
            ),
            DeclareLaunchArgument(
                'params_file',
                default_value='',
                description='Parameters of the nodes; docs/PARAMETERS.md lists them. Empty: '
                'config/realsense_depth.yaml, or config/realsense.yaml where depth is false.',
            ),
            DeclareLaunchArgument(
                'namespace', default_value='', description='Namespace of the nodes and topics.'
            ),
            DeclareLaunchArgument(
                'log_level', default_value='info', description='debug, info, warn, error or fatal.'
            ),
            DeclareLaunchArgument(
                'rviz', default_value='false', description='Show cloud and images in RViz.'
            ),
            *parameter_arguments(parameters),
            OpaqueFunction(function=_camera),
            Node(
                package='rviz2',
                executable='rviz2',
                namespace=LaunchConfiguration('namespace'),
                arguments=[
                    '--display-config', str(share_file('rviz/depth.rviz')),
                    '--fixed-frame', 'camera_link',
                ],
                remappings=[
                    ('/image', 'camera/color/image_raw'),
                    *((f'/{topic}', topic) for topic in OUTPUT_TOPICS),
                ],
                additional_env=dds_environment(),
                condition=IfCondition(LaunchConfiguration('rviz')),
            ),
        ]
    )  # fmt: skip


def _camera(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    given = {'/**/camera': _given(context, CAMERA_PARAMETERS | PARAMETERS)}
    if IfCondition(LaunchConfiguration('depth')).evaluate(context):
        given['/**/depth'] = _given(context, DEPTH_PARAMETERS | PARAMETERS)
        common = _common(context, share_file('config/realsense_depth.yaml'), given)
        return [Node(package='metric_depth_ros', executable='realsense_depth', **common)]
    common = _common(context, share_file('config/realsense.yaml'), given)
    return [Node(package='metric_depth_ros', executable='realsense', **common)]


def _common(
    context: LaunchContext, shipped: Path, given: Mapping[str, Mapping[str, object]]
) -> dict[str, Any]:
    return {
        'namespace': LaunchConfiguration('namespace'),
        'parameters': [
            LaunchConfiguration('params_file').perform(context) or str(shipped),
            _written(given),
        ],
        'ros_arguments': ['--log-level', LaunchConfiguration('log_level')],
        'additional_env': dds_environment(),
        'output': 'screen',
    }


def _given(
    context: LaunchContext, parameters: Mapping[str, tuple[str, type, str]]
) -> dict[str, object]:
    """Return the parameters whose arguments were given."""
    return {
        name: perform_typed_substitution(context, [LaunchConfiguration(argument)], kind)
        for argument, (name, kind, _) in parameters.items()
        if LaunchConfiguration(argument).perform(context)
    }


def _written(given: Mapping[str, Mapping[str, object]]) -> str:
    """Return a parameter file: launch_ros itself writes only files that are of every node."""
    content = {node: {'ros__parameters': dict(values)} for node, values in given.items() if values}
    with tempfile.NamedTemporaryFile(
        'w', prefix='realsense_', suffix='.yaml', delete=False
    ) as file:
        # JSON is YAML whose strings are quoted: a serial number stays one, whatever its digits.
        json.dump(content or {'/**': {'ros__parameters': {}}}, file)
    return file.name
