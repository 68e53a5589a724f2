# SPDX-License-Identifier: Apache-2.0
"""The ROS skin of the core: parameters, QoS, extrinsics, assembly, diagnostics, messages.

The only room besides `nodes` and `replay` that may import rclpy. `parameter_table` and the tables
of the nodes, `assembly`, `stamps`, `stamp_sets`, `tally`, `dense_depth`, `faults`,
`calibration_files`, `extrinsics`, `framing`, `depth_picture` and `memory` do not: they run and are
tested without ROS.
"""
