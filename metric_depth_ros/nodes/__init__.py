# SPDX-License-Identifier: Apache-2.0
"""Executables: wiring of `ros` and the core, and nothing that could be tested without ROS."""
