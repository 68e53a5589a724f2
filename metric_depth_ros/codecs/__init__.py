# SPDX-License-Identifier: Apache-2.0
"""ROS message fields to arrays and back. NumPy, OpenCV, `geometry` and `errors` only.

Messages are duck-typed: an rclpy message, a rosbags message and the records made here decode
alike, and no ROS is imported. Decoders return views of the message where no copy is needed;
treat what they return as read-only. Every size that a message claims is held against the data
that it really brings before anything is allocated; every fault is an `InputError`.
"""
