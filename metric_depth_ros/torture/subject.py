# SPDX-License-Identifier: Apache-2.0
"""The `depth` node with an estimator that fails on demand.

``-p estimator:=faulty:nearest`` answers as ``nearest`` does, unless the first pixel of the image
asks for a fault: then that frame raises, hangs, or gets an answer that cannot be.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable

import numpy as np

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator, register
from metric_depth_ros.types import DepthEstimate, Frame

# The first pixel of an image that asks for a fault: red, green, and the number of the fault.
MARK = (255, 0)
FAULTS = ('raise', 'hang', 'all_nan', 'wrong_size', 'wrong_type', 'out_of_memory', 'exit')
_Answer = Callable[[DepthEstimate], DepthEstimate]


class FaultyEstimator(Estimator):
    """An estimator that fails on demand.

    Parameters
    ----------
    estimator
        Answers all other frames.
    """

    def __init__(self, estimator: Estimator) -> None:
        self.name = f'faulty:{estimator.name}'
        self.needs_prompt = estimator.needs_prompt
        self.recovers_camera = estimator.recovers_camera
        self.frames_at_once = estimator.frames_at_once
        self._estimator = estimator

    def warm_up(self, width: int, height: int) -> None:
        """Warm up the estimator behind."""
        self._estimator.warm_up(width, height)

    def ready_since_s(self) -> float:
        """Return since when the estimator behind is ready."""
        return self._estimator.ready_since_s()

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Estimate, or fail as the first pixel asks."""
        red, green, number = (int(v) for v in frame.image[0, 0])
        estimate = self._estimator.estimate(frame)
        if (red, green) != MARK or number >= len(FAULTS):
            return estimate
        return _ANSWERS[FAULTS[number]](estimate)


def _raise(estimate: DepthEstimate) -> DepthEstimate:
    raise RuntimeError('an estimator that raises, as asked for')


def _hang(estimate: DepthEstimate) -> DepthEstimate:
    threading.Event().wait()
    return estimate


def _out_of_memory(estimate: DepthEstimate) -> DepthEstimate:
    torch = sys.modules.get('torch')  # importing it takes longer than any frame
    kind = MemoryError if torch is None else torch.OutOfMemoryError
    raise kind('CUDA out of memory, simulated')


def _exit(estimate: DepthEstimate) -> DepthEstimate:
    sys.exit(3)


_ANSWERS: dict[str, _Answer] = {
    'raise': _raise,
    'hang': _hang,
    'all_nan': lambda e: dataclasses.replace(e, depth=np.full_like(e.depth, np.nan)),
    'wrong_size': lambda e: dataclasses.replace(e, depth=e.depth[::2, ::2].copy()),
    'wrong_type': lambda e: dataclasses.replace(e, depth=e.depth.astype(np.float64)),
    'out_of_memory': _out_of_memory,
    'exit': _exit,
}


def _faulty(variant: str, options: EstimatorOptions) -> Estimator:
    return FaultyEstimator(create_estimator(variant or 'nearest', options))


def main() -> int:
    """Run the node."""
    from metric_depth_ros.nodes.depth import main as run

    register('faulty', _faulty)
    return run()


if __name__ == '__main__':
    sys.exit(main())
