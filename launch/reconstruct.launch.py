# SPDX-License-Identifier: Apache-2.0
"""Start the `reconstruct` node beside a depth node that is running.

``ros2 launch metric_depth_ros reconstruct.launch.py``. Whatever an argument leaves empty is as the
parameter file says.
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
    'depth_image': ('depth/image', 'Depth of a depth node.'),
    'depth_camera_info': ('depth/camera_info', 'Its CameraInfo, of the same stamps.'),
    'depth_confidence': ('depth/confidence', 'Its confidence; a method may have none.'),
    'image': ('image', 'Color image, where color is not none.'),
    'odometry': ('odometry', 'nav_msgs/Odometry, where pose_source is odometry.'),
    'pose': ('pose', 'geometry_msgs/PoseStamped, where pose_source is pose.'),
}
# Launch argument: (parameter of the node, type, description).
PARAMETERS = {
    'pose_source': ('pose.source', str, 'Where the camera is: tf2, odometry or pose.'),
    'world_frame': ('world_frame', str, 'With tf2: frame in which the surface is built.'),
    'color': ('color', str, 'Color of the surface: none, raw or compressed.'),
    'device': ('fusion.device', str, 'Where to fuse: auto, cpu, cuda.'),
    'save_folder': ('save.folder', str, 'Folder of meshes and clouds.'),
    'autostart': ('autostart', bool, 'Configure and activate at start: true or false.'),
    'use_sim_time': ('use_sim_time', bool, 'Take the time from /clock: true or false.'),
}


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the node."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'params_file',
                default_value=str(share_file('config/reconstruct.yaml')),
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
            OpaqueFunction(function=_reconstruct),
        ]
    )


def _reconstruct(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    given = {
        name: ParameterValue(LaunchConfiguration(argument), value_type=kind)
        for argument, (name, kind, _) in PARAMETERS.items()
        if LaunchConfiguration(argument).perform(context)
    }
    return [
        Node(
            package='metric_depth_ros',
            executable='reconstruct',
            namespace=LaunchConfiguration('namespace'),
            parameters=[LaunchConfiguration('params_file'), *([given] if given else [])],
            remappings=[
                ('image/compressed', [LaunchConfiguration('image'), '/compressed']),
                *((topic, LaunchConfiguration(name)) for name, (topic, _) in INPUT_TOPICS.items()),
            ],
            ros_arguments=['--log-level', LaunchConfiguration('log_level')],
            additional_env=dds_environment(),
            output='screen',
        )
    ]
