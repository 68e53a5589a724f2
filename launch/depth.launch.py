# SPDX-License-Identifier: Apache-2.0
"""Start the `depth` node with any sensors, and RViz if wanted.

The other launch files include this one and give it their topics. Whatever an argument leaves
empty is as the parameter file says. The node configures and activates itself; with
``autostart:=false`` it waits for a lifecycle manager.
"""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from metric_depth_ros.launching import OUTPUT_TOPICS, NodeLaunch
from metric_depth_ros.middleware import dds_environment
from metric_depth_ros.resources import share_file

# Launch argument: (topic of the node, description).
TOPICS = {
    'image': ('image', 'Camera image; for image_transport:=compressed without /compressed.'),
    'camera_info': ('camera_info', 'CameraInfo of the image.'),
    'points': ('points', 'PointCloud2 of the LiDAR.'),
    'radar': ('radar', 'PointCloud2 of the radar, where prompt_sources has it.'),
    'sensor_depth_image': (
        'sensor_depth/image',
        'Depth image of a depth camera, where prompt_sources has sensor_depth.',
    ),
    'sensor_depth_camera_info': ('sensor_depth/camera_info', 'CameraInfo of the depth image.'),
}
# Launch argument: (parameter of the node, type, description).
PARAMETERS = {
    'estimator': ('estimator', str, 'Depth method, e.g. classical, classical:fast.'),
    'device': ('device', str, 'Where the estimator runs: auto, cpu, cuda.'),
    'prompt_sources': (
        'prompt.sources',
        tuple,
        'Sensors that tell depth, e.g. [points, radar, sensor_depth].',
    ),
    'image_transport': ('image_transport', str, 'raw or compressed.'),
    'extrinsics_source': ('extrinsics.source', str, 'Pose of the sensors: tf2, file or bag.'),
    'extrinsics_path': ('extrinsics.path', str, 'The calibration file or the bag.'),
}
# Launch argument: value of prompt.sources without which its topic is of no use.
SOURCES = {'radar': 'radar', 'sensor_depth_image': 'sensor_depth'}
BESIDE = {
    'image/compressed': ('image', '/compressed'),
    'sensor_depth/image/compressedDepth': ('sensor_depth_image', '/compressedDepth'),
}
# An argument that is left empty is false: RViz does not read the parameter file.
_IS_SIMULATED = PythonExpression(["'", LaunchConfiguration('use_sim_time'), "'.lower() == 'true'"])


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, the node and RViz."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'rviz', default_value='false', description='Show cloud and images in RViz.'
            ),
            DeclareLaunchArgument(
                'rviz_frame',
                default_value='base_link',
                description='Frame that RViz draws in; without transforms, that of the camera.',
            ),
            *NodeLaunch(
                'depth', 'config/generic.yaml', TOPICS, PARAMETERS, BESIDE, SOURCES
            ).actions(),
            Node(
                package='rviz2',
                executable='rviz2',
                namespace=LaunchConfiguration('namespace'),
                arguments=[
                    '--display-config', str(share_file('rviz/depth.rviz')),
                    '--fixed-frame', LaunchConfiguration('rviz_frame'),
                ],
                remappings=[
                    ('/image', LaunchConfiguration('image')),
                    *((f'/{topic}', topic) for topic in OUTPUT_TOPICS),
                ],
                parameters=[{'use_sim_time': ParameterValue(_IS_SIMULATED, value_type=bool)}],
                additional_env=dds_environment(),
                condition=IfCondition(LaunchConfiguration('rviz')),
            ),
        ]
    )  # fmt: skip
