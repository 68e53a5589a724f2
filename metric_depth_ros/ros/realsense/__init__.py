# SPDX-License-Identifier: Apache-2.0
"""RealSense cameras through pyrealsense2: a driver without ROS, and the node around it.

`node` and `publishing` import rclpy; the others do not, and can be used and tested alone.
"""
