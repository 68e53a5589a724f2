# SPDX-License-Identifier: Apache-2.0
"""The ROS skin of the core: parameters, QoS, extrinsics, assembly, diagnostics, messages.

The only room besides `nodes` and `replay` that may import rclpy; `parameters`, `assembly`,
`stamps`, `calibration_files` and `framing` do not.
"""
