# SPDX-License-Identifier: Apache-2.0
"""rosbag2 in and out, with or without a ROS distribution, and frame sets turned into bags.

May import framesets, estimators and everything below; never rclpy.
"""
