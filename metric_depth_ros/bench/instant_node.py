# SPDX-License-Identifier: Apache-2.0
"""The `depth` node with an estimator that costs nothing: what is left is the skin around it."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import register
from metric_depth_ros.types import DepthEstimate, Frame

_NEAREST_M, _FARTHEST_M = 1.0, 300.0  # beyond the range that the node publishes


class InstantEstimator(Estimator):
    """Answers every frame of a size with the same depth: a slope that leaves the range."""

    name = 'instant'

    def __init__(self) -> None:
        self._depth: NDArray[np.float32] = np.empty((0, 0), np.float32)

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Return depth that falls from the first row to the last."""
        height, width = frame.image.shape[:2]
        if self._depth.shape != (height, width):
            rows = np.linspace(_FARTHEST_M, _NEAREST_M, height, dtype=np.float32)
            self._depth = np.repeat(rows[:, None], width, axis=1)
        return DepthEstimate(self._depth, None, frame.camera, self.name)


def _create(variant: str, options: EstimatorOptions) -> Estimator:
    return InstantEstimator()


def main() -> int:
    """Run the node."""
    from metric_depth_ros.nodes.depth import main as run

    register('instant', _create)
    return run()


if __name__ == '__main__':
    sys.exit(main())
