# SPDX-License-Identifier: Apache-2.0
"""Sensor data to `SparsePrompt`. Imports geometry and types; knows no estimator and no ROS.

One module a kind of sensor. Adding a sensor means adding a module here and nothing elsewhere.
"""
