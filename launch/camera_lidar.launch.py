# SPDX-License-Identifier: Apache-2.0
"""One camera and one LiDAR: dense depth in the camera's view.

``ros2 launch metric_depth_ros camera_lidar.launch.py image:=/front/image_raw
camera_info:=/front/camera_info points:=/velodyne/points``. All arguments of depth.launch.py are
accepted too; ``--show-args`` lists them.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from metric_depth_ros.resources import share_file

# Launch argument: (default, description).
ARGUMENTS = {
    'image': ('camera/image_raw', 'Camera image.'),
    'camera_info': ('camera/camera_info', 'CameraInfo of the image.'),
    'points': ('lidar/points', 'PointCloud2 of the LiDAR.'),
}


def generate_launch_description() -> LaunchDescription:
    """Return the `depth` node with the topics of a camera and a LiDAR."""
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
