# SPDX-License-Identifier: Apache-2.0
"""Start the `query` node beside a `depth` node: pixels in, metric points out, words if wanted.

Whatever an argument leaves empty is as the parameter file says.
"""

from __future__ import annotations

from launch import LaunchDescription

from metric_depth_ros.launching import NodeLaunch

# Launch argument: (topic of the node, description).
TOPICS = {
    'pixel': ('pixel', 'PointStamped whose x and y are the pixel that is asked about.'),
    'image': ('image', 'Camera image, for models; without /compressed, as for its clicks.'),
    'camera_info': ('camera_info', 'CameraInfo of the image, for models.'),
    'depth_image': ('depth/image', 'Depth of the depth node; with _color, as for its clicks.'),
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
}


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the node."""
    beside = {
        'image/compressed': ('image', '/compressed'),
        'image_mouse_left': ('image', '_mouse_left'),
        'depth/image_color_mouse_left': ('depth_image', '_color_mouse_left'),
    }
    node = NodeLaunch('query', 'config/query.yaml', TOPICS, PARAMETERS, beside)
    return LaunchDescription(node.actions())
