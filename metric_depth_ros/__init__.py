# SPDX-License-Identifier: Apache-2.0
"""Metric depth perception for ROS 2: sparse metric prompts in, dense metric depth out.

Importing this package imports nothing heavy: torch, open3d, transformers and rclpy are loaded by
the rooms that use them, when they use them.
"""

__version__ = '0.1.0'
