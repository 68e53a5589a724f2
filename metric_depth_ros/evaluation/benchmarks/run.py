# SPDX-License-Identifier: Apache-2.0
"""An estimator run over a benchmark, or the share of it that is this process's.

Images are read once, estimated once a task, and scored; what was done before is not done again.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.evaluation.benchmarks.protocol import Benchmark, DataSet, Item, Task
from metric_depth_ros.evaluation.benchmarks.records import Record, RecordFile, read_records
from metric_depth_ros.types import DepthEstimate, Frame


@dataclass(frozen=True)
class Share:
    """Which of several processes this is; `accelerate launch` and torchrun say so."""

    rank: int = 0
    processes: int = 1

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Share:
        """Read it from ``RANK`` and ``WORLD_SIZE``.

        Raises
        ------
        InputError
            Values that cannot be.
        """
        rank, processes = (environment.get(k, d) for k, d in (('RANK', '0'), ('WORLD_SIZE', '1')))
        if not (rank.isdigit() and processes.isdigit() and int(rank) < int(processes)):
            raise InputError(
                'benchmark_processes',
                f'RANK is {rank!r} and WORLD_SIZE {processes!r}, expected 0 <= RANK < WORLD_SIZE: '
                'start with `accelerate launch`, or unset both.',
            )
        return cls(int(rank), int(processes))

    def has(self, index: int) -> bool:
        """Whether an image is this process's."""
        return index % self.processes == self.rank


def chosen_tasks(benchmark: Benchmark, names: Sequence[str]) -> list[Task]:
    """Return the tasks of some names, or all.

    Raises
    ------
    InputError
        A task that the benchmark does not have.
    """
    known = {task.name: task for task in benchmark.tasks}
    for name in names:
        if name not in known:
            raise InputError(
                'benchmark_task',
                f'{benchmark.name} has no task {name!r}: --task is one of {", ".join(known)}.',
            )
    return [task for task in benchmark.tasks if not names or task.name in names]


def wanted(ids: Sequence[str], tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """Return what a whole run answers: pairs of task and item."""
    return [(task.name, i) for i in ids for task in tasks if task.includes(i)]


def run_share(
    data: DataSet,
    ids: Sequence[str],
    tasks: Sequence[Task],
    estimator: Estimator,
    folder: Path,
    share: Share,
    advance: Callable[[int], None],
) -> None:
    """Answer what of this process's share is still open.

    Parameters
    ----------
    ids
        The first items of `data`, or all.
    folder
        Of the records.
    advance
        Told how many answers are there since the last time.
    """
    done = read_records(folder)
    with RecordFile(folder, share.rank) as records:
        for index, item_id in enumerate(ids):
            if not share.has(index):
                continue
            asked = [task for task in tasks if task.includes(item_id)]
            open_tasks = [task for task in asked if (task.name, item_id) not in done]
            advance(len(asked) - len(open_tasks))
            if not open_tasks:
                continue
            item = data.load(index)
            for task in open_tasks:
                records.add(answer(item, task, estimator))
                advance(1)


def answer(item: Item, task: Task, estimator: Estimator) -> Record:
    """Ask one question about one image."""
    seen = item if task.view is None else task.view(item)
    prompt = None if task.prompt is None else task.prompt(seen, seed_of(item.id, task.name))
    frame = Frame(
        stamp_ns=0,
        frame_id='camera_optical_frame',
        image=np.ascontiguousarray(seen.image),
        camera=seen.camera if task.camera_given else None,
        prompt=prompt,
    )
    if task.unmasked:
        estimator = estimator.unmasked()
    start = time.perf_counter()
    estimate = _estimate(estimator, frame, seen.points if task.at_points else None)
    elapsed_ms = 1e3 * (time.perf_counter() - start)
    return Record(task.name, item.id, task.score(estimate, seen), elapsed_ms, estimate.method)


def _estimate(
    estimator: Estimator, frame: Frame, points: NDArray[np.float64] | None
) -> DepthEstimate:
    """Estimate a frame, or where only the pixels of points count, those."""
    if points is None:
        return estimator.estimate(frame)
    pixels = dict.fromkeys((int(u), int(v)) for u, v, *_ in points)
    return estimator.estimate_at(frame, list(pixels))


def seed_of(item: str, task: str) -> int:
    """Return the seed of a prompt: of the names alone, so that any run draws the same."""
    return zlib.crc32(f'{task} {item}'.encode())
