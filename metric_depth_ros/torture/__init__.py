# SPDX-License-Identifier: Apache-2.0
"""A campaign of faults against a live node: what a robot does to its software, and worse.

Each fault says what must be observed; a good stream runs beside. `metric-depth torture` runs them
all, the test suite those that take moments. Loads rclpy.
"""
