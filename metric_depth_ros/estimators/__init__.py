# SPDX-License-Identifier: Apache-2.0
"""Estimators: `Frame` in, `DepthEstimate` out. Imports prompting and types; knows no ROS.

`registry.create_estimator` makes one from its name. Adding an estimator means adding a module
here, whose class inherits from `base.Estimator` and overrides what it can do, and a line in the
registry; another package calls `registry.register`.
"""
