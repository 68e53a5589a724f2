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

import torch

from metric_depth_ros.estimators.runtime.batch import Batch
from metric_depth_ros.estimators.runtime.runner import Runner


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
        self._cores = torch.get_num_threads()
        self._busy = 0
        self._changing = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[Runner]:
        """Give a runner to the calling thread, which waits where none is idle."""
        runner = self._idle.get()
        self._count(1)
        try:
            with _threads(self._share(self._busy)):
                yield runner
        finally:
            self._count(-1)
            self._idle.put(runner)

    def warm_up(self, batch: Batch) -> None:
        """Prepare every runner for the shape of a batch, alone and beside the others."""
        for cores in {self._cores, self._share(len(self.runners))}:
            with _threads(cores):
                for runner in self.runners:
                    runner.warm_up(batch)

    def _share(self, busy: int) -> int:
        return max(1, self._cores // busy)

    def _count(self, change: int) -> None:
        with self._changing:
            self._busy += change


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Share the operations of the calling thread among so many."""
    before = torch.get_num_threads()
    if count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
