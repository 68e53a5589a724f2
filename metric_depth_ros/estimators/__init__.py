# SPDX-License-Identifier: Apache-2.0
"""Estimators: `Frame` in, `DepthEstimate` out. Imports prompting and types; knows no ROS.

`registry.create_estimator` makes one from its name. Adding an estimator means adding a module
here and a line in the registry.
"""
