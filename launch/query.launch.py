# SPDX-License-Identifier: Apache-2.0
"""Start the `query` node beside a `depth` node: pixels in, metric points out, words if wanted.

Whatever an argument leaves empty is as the parameter file says.
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from metric_depth_ros.resources import dds_environment, share_file

# Launch argument: (topic of the node, description).
INPUT_TOPICS = {
    'pixel': ('pixel', 'PointStamped whose x and y are the pixel that is asked about.'),
    'image': ('image', 'Camera image, for models; without /compressed, as for its clicks.'),
    'camera_info': ('camera_info', 'CameraInfo of the image, for models.'),
    'depth_image': ('depth/image', 'Depth of the depth node.'),
    'depth_camera_info': ('depth/camera_info', 'CameraInfo of the depth.'),
    'depth_confidence': ('depth/confidence', 'Confidence of the depth.'),
}
# Launch argument: (parameter of the node, type, description).
PARAMETERS = {
    'estimator': ('estimator', str, 'What answers pixels: dense, depthlm, ...'),
    'language_model': ('language_model', str, 'What answers questions: depthvlm, depthlm, ...'),
    'device': ('device', str, 'Where a model runs: auto, cpu, cuda.'),
    'image_transport': ('image_transport', str, 'raw or compressed.'),
    'target_frame': ('target_frame', str, 'Frame that points are given in.'),
    'extrinsics_source': ('extrinsics.source', str, 'Its transforms: tf2, file or bag.'),
    'extrinsics_path': ('extrinsics.path', str, 'The calibration file or the bag.'),
    'autostart': ('autostart', bool, 'Configure and activate at start: true or false.'),
    'use_sim_time': ('use_sim_time', bool, 'Take the time from /clock: true or false.'),
}


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the node."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'params_file',
                default_value=str(share_file('config/query.yaml')),
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
                for name, (topic, description) in INPUT_TOPICS.items()
            ),
            *(
                DeclareLaunchArgument(
                    name, default_value='', description=f'{description} Empty: see params_file.'
                )
                for name, (_, _, description) in PARAMETERS.items()
            ),
            OpaqueFunction(function=_query),
        ]
    )


def _query(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    given = {
        name: ParameterValue(LaunchConfiguration(argument), value_type=kind)
        for argument, (name, kind, _) in PARAMETERS.items()
        if LaunchConfiguration(argument).perform(context)
    }
    image = LaunchConfiguration('image')
    return [
        Node(
            package='metric_depth_ros',
            executable='query',
            namespace=LaunchConfiguration('namespace'),
            parameters=[LaunchConfiguration('params_file'), *([given] if given else [])],
            remappings=[
                ('image/compressed', [image, '/compressed']),
                ('image_mouse_left', [image, '_mouse_left']),
                *((topic, LaunchConfiguration(name)) for name, (topic, _) in INPUT_TOPICS.items()),
            ],
            ros_arguments=['--log-level', LaunchConfiguration('log_level')],
            additional_env=dds_environment(),
            output='screen',
        )
    ]
