# SPDX-License-Identifier: Apache-2.0
"""Start the `reconstruct` node beside a depth node that is running.

``ros2 launch metric_depth_ros reconstruct.launch.py``. Whatever an argument leaves empty is as the
parameter file says.
"""

from __future__ import annotations

from launch import LaunchDescription

from metric_depth_ros.launching import NodeLaunch

# Launch argument: (topic of the node, description).
TOPICS = {
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
}


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the node."""
    beside = {'image/compressed': ('image', '/compressed')}
    node = NodeLaunch('reconstruct', 'config/reconstruct.yaml', TOPICS, PARAMETERS, beside)
    return LaunchDescription(node.actions())
