# SPDX-License-Identifier: Apache-2.0
"""Several frames at once on a CPU: one runner for each, and a share of the cores. Imports torch.

A small network gains little from a second core, for its operations are short and wait for their
slowest part; the arrays before and after it gain nothing. Two frames that take one core each are
done sooner than two that take both, one after the other.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from metric_depth_ros.estimators.runtime.batch import Batch
from metric_depth_ros.estimators.runtime.runner import Runner
from metric_depth_ros.estimators.threads import CORES, threads


class Lanes:
    """Runners of copies of one network.

    Parameters
    ----------
    runners
        At least one; each serves one thread at a time.
    """

    def __init__(self, runners: Sequence[Runner]) -> None:
        self.runners = tuple(runners)
        # The last one that was used is the next: it has everything in its caches.
        self._idle: queue.LifoQueue[Runner] = queue.LifoQueue()
        for runner in reversed(self.runners):
            self._idle.put(runner)
        self._busy = 0
        self._changing = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[Runner]:
        """Give a runner to the calling thread, which waits where none is idle."""
        runner = self._idle.get()
        self._count(1)
        try:
            with threads(self._share(self._busy)):
                yield runner
        finally:
            self._count(-1)
            self._idle.put(runner)

    def warm_up(self, batch: Batch) -> None:
        """Prepare every runner for the shape of a batch, alone and beside the others."""
        for cores in {CORES, self._share(len(self.runners))}:
            with threads(cores):
                for runner in self.runners:
                    runner.warm_up(batch)

    def ready_since_s(self) -> float:
        """Return since when no runner compiles, as `Estimator.ready_since_s`."""
        return max(runner.ready_since_s() for runner in self.runners)

    @staticmethod
    def _share(busy: int) -> int:
        return max(1, CORES // busy)

    def _count(self, change: int) -> None:
        with self._changing:
            self._busy += change
