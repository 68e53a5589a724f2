# SPDX-License-Identifier: Apache-2.0
"""What the launch files of the nodes share: their arguments, and the node that these start.

Used by files of the folder `launch` only; imports the ROS packages launch and launch_ros.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, List  # noqa: UP035

from launch import LaunchContext, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

from metric_depth_ros.middleware import dds_environment
from metric_depth_ros.replay.given_parameters import refuse_unheard
from metric_depth_ros.resources import share_file

# Of the depth node; RViz is told where they are.
OUTPUT_TOPICS = (
    'depth/image', 'depth/camera_info', 'depth/points', 'depth/points_voxels', 'depth/confidence',
    'depth/image_color', 'depth/prompt',
)  # fmt: skip
_VALUES: Mapping[type, Any] = {tuple: List[str]}  # noqa: UP006  launch knows no list[str]
_START = {
    'autostart': ('autostart', bool, 'Configure and activate at start: true or false.'),
    'use_sim_time': ('use_sim_time', bool, 'Take the time from /clock: true or false.'),
}


@dataclass(frozen=True)
class NodeLaunch:
    """A node, and what may be told it when it is started.

    Parameters
    ----------
    executable
        Of this package.
    params_file
        Shipped parameter file that is the default.
    topics
        Topic of the node and its description, by launch argument.
    parameters
        Parameter of the node, its type and description, by launch argument, besides those that
        every node has; one that is left empty is as the parameter file says. A tuple is of
        strings.
    beside
        Further topics of the node, each as a launch argument and what follows its topic.
    sources
        Value of ``prompt.sources`` without which the topic of a launch argument is of no use.
    """

    executable: str
    params_file: str
    topics: Mapping[str, tuple[str, str]]
    parameters: Mapping[str, tuple[str, type, str]]
    beside: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def actions(self) -> list[LaunchDescriptionEntity]:
        """Return the arguments, and what starts the node."""
        return [
            DeclareLaunchArgument(
                'params_file',
                default_value=str(share_file(self.params_file)),
                description='Parameters of the node; docs/PARAMETERS.md lists them.',
            ),
            DeclareLaunchArgument(
                'namespace', default_value='', description='Namespace of the node and its topics.'
            ),
            DeclareLaunchArgument(
                'log_level', default_value='info', description='debug, info, warn, error or fatal.'
            ),
            *(
                DeclareLaunchArgument(name, default_value=topic, description=description)
                for name, (topic, description) in self.topics.items()
            ),
            *parameter_arguments({**self.parameters, **_START}),
            OpaqueFunction(function=self._node),
        ]

    def _node(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if self.sources:
            pushed = context.launch_configurations.get('ros_namespace')  # by a group around this
            own = LaunchConfiguration('namespace').perform(context)
            topics = {a: LaunchConfiguration(a).perform(context) for a in self.sources}
            refuse_unheard(
                {self.sources[a]: t for a, t in topics.items() if t != self.topics[a][0]},
                LaunchConfiguration('prompt_sources').perform(context),
                Path(LaunchConfiguration('params_file').perform(context)),
                make_namespace_absolute(prefix_namespace(pushed, own)),
            )
        given = {
            name: ParameterValue(LaunchConfiguration(argument), value_type=_VALUES.get(kind, kind))
            for argument, (name, kind, _) in {**self.parameters, **_START}.items()
            if LaunchConfiguration(argument).perform(context)
        }
        return [
            Node(
                package='metric_depth_ros',
                executable=self.executable,
                namespace=LaunchConfiguration('namespace'),
                parameters=[LaunchConfiguration('params_file'), *([given] if given else [])],
                remappings=[
                    *(
                        (topic, [LaunchConfiguration(argument), suffix])
                        for topic, (argument, suffix) in self.beside.items()
                    ),
                    *((topic, LaunchConfiguration(a)) for a, (topic, _) in self.topics.items()),
                ],
                ros_arguments=['--log-level', LaunchConfiguration('log_level')],
                additional_env=dds_environment(),
                output='screen',
            )
        ]


def parameter_arguments(
    parameters: Mapping[str, tuple[str, type, str]],
) -> Iterable[LaunchDescriptionEntity]:
    """Return launch arguments that leave a parameter to the file unless they are given."""
    for name, (_, _, description) in parameters.items():
        yield DeclareLaunchArgument(
            name, default_value='', description=f'{description} Empty: see params_file.'
        )
