# SPDX-License-Identifier: Apache-2.0
"""The ROS skin of the core: parameters, QoS, extrinsics, assembly, diagnostics, messages.

Below it no room imports rclpy. Many of its own modules do not either, so that they run and are
tested without ROS: `pyproject.toml` names them in the contract "These modules of ros need no ROS".
"""
