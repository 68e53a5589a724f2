# SPDX-License-Identifier: Apache-2.0
"""Running networks: device, precision, compiled code, and what happens when one of them fails.

A `Runner` takes a `Batch` on the CPU and returns an `Outcome` on the CPU. It knows no frames and
no network by name. Imports torch, `estimators.options` and `errors`; ONNX Runtime only when an
exported network is opened.
"""

from metric_depth_ros.estimators.runtime.batch import Batch
from metric_depth_ros.estimators.runtime.lanes import Lanes
from metric_depth_ros.estimators.runtime.runner import Outcome, Runner

__all__ = ['Batch', 'Lanes', 'Outcome', 'Runner']
