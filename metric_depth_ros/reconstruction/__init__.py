# SPDX-License-Identifier: Apache-2.0
"""Depth with poses becomes surfaces: fusion, meshes, figures, and files for other programs.

May import all that imports no rclpy; open3d and torch load when a volume is made.
"""
