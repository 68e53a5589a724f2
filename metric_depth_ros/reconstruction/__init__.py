# SPDX-License-Identifier: Apache-2.0
"""Depth with poses becomes surfaces: fusion, meshes, figures, and files for other programs.

Knows no ROS; open3d and torch load when a volume is made.
"""
