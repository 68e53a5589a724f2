# SPDX-License-Identifier: Apache-2.0
"""Topics, frames and message types of the bags that this package writes. Imports nothing."""

from __future__ import annotations

IMAGE_TOPIC = '/camera/image_raw'
CAMERA_INFO_TOPIC = '/camera/camera_info'
POINTS_TOPIC = '/lidar/points'
RADAR_TOPIC = '/radar/points'
SENSOR_DEPTH_TOPIC = '/camera/depth/image_raw'
SENSOR_DEPTH_INFO_TOPIC = '/camera/depth/camera_info'
GROUND_TRUTH_TOPIC = '/ground_truth/depth'
TF_STATIC_TOPIC = '/tf_static'
TF_TOPIC = '/tf'

ODOM_FRAME = 'odom'
BASE_FRAME = 'base_link'
CAMERA_FRAME = 'camera_optical_frame'
LIDAR_FRAME = 'lidar'
RADAR_FRAME = 'radar'

IMAGE_TYPE = 'sensor_msgs/msg/Image'
CAMERA_INFO_TYPE = 'sensor_msgs/msg/CameraInfo'
POINTS_TYPE = 'sensor_msgs/msg/PointCloud2'
TF_TYPE = 'tf2_msgs/msg/TFMessage'
