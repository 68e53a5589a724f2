# SPDX-License-Identifier: Apache-2.0
"""A depth camera: its holes filled and its noise smoothed, guided by its color image.

``ros2 launch metric_depth_ros rgbd.launch.py image:=/camera/color/image_raw \
camera_info:=/camera/color/camera_info sensor_depth_image:=/camera/aligned_depth/image_raw``.
All arguments of depth.launch.py are accepted too; ``--show-args`` lists them.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from metric_depth_ros.resources import share_file

# Launch argument: (default, description).
ARGUMENTS = {
    'params_file': (
        str(share_file('config/rgbd.yaml')),
        'Parameters of the node; docs/PARAMETERS.md lists them.',
    ),
    'image': ('camera/image_raw', 'Color image.'),
    'camera_info': ('camera/camera_info', 'CameraInfo of the color image.'),
    'sensor_depth_image': (
        'camera/depth/image_raw',
        'Depth image, 16UC1 or 32FC1, registered to the image; another: prompt.depth_alignment.',
    ),
    'sensor_depth_camera_info': (
        'camera/depth/camera_info', 'CameraInfo of the depth image; not needed if registered.',
    ),
}  # fmt: skip


def generate_launch_description() -> LaunchDescription:
    """Return the `depth` node with the topics of a depth camera."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(share_file('launch/depth.launch.py'))),
                launch_arguments=[(name, LaunchConfiguration(name)) for name in ARGUMENTS],
            ),
        ]
    )
