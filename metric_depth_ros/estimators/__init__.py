# SPDX-License-Identifier: Apache-2.0
"""Estimators: `Frame` in, `DepthEstimate` out. Imports prompting and types; knows no ROS.

`registry.create_estimator` makes one from its name. A new estimator is a module here, whose class
inherits from `base.Estimator` and overrides what it can do, and a line in the registry; another
package calls `registry.register`. One with a network is an adapter in `learned` that also needs

- its name and weights in `catalog.MODELS`
- how it is built and loaded: `learned.loading`
- what it is exported and measured with: `learned.example`, `bench.model_networks`
- where it has the sizes of `learned.presets`, its name there
- a tiny checkpoint in `test/support/tiny_checkpoints.py`
"""
