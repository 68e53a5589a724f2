# SPDX-License-Identifier: Apache-2.0
"""Simulates examples into shards, in several processes; goes on where it was stopped.

May import `simulation`.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from metric_depth_ros.errors import InputError
from metric_depth_ros.training.shards import (
    INDEX_NAME,
    SUFFIX,
    existing_counts,
    keep_settings,
    shard_name,
    write_index,
    write_shard,
)

SETTINGS_NAME = 'simulated.json'
RULES = 2  # one more whenever the same settings give other examples
_SEEDS = 1 << 32  # examples that a seed has


@dataclass(frozen=True)
class ShardSettings:
    """What is simulated.

    Attributes
    ----------
    views
        Number of examples.
    seed, split
        Same seed and split, same examples; no split has an example of another.
    kinds
        Kinds of worlds, drawn evenly; none for the simulation's own mixture.
    per_shard
        Examples in a shard.
    monocular
        For networks that see an image alone; see `simulate_example`.
    """

    views: int
    seed: int = 0
    split: str = 'train'
    kinds: tuple[str, ...] = ()
    per_shard: int = 128
    monocular: bool = False


def make_shards(
    folder: Path,
    settings: ShardSettings,
    workers: int,
    device: str = 'cpu',
    progress: Callable[[int], None] = lambda views: None,
) -> int:
    """Simulate the examples that are not there yet.

    Parameters
    ----------
    folder
        Made when it is not there.
    workers
        Processes.
    device
        Where rays are cast.
    progress
        Called with the number of examples that are there.

    Returns
    -------
    int
        Examples that are there.

    Raises
    ------
    InputError
        The folder holds examples of other settings, or beyond the views.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(-(-settings.views // settings.per_shard))
    _refuse_shards_beyond(folder, settings.views, numbers)
    plain = {key: value for key, value in asdict(settings).items() if key != 'views'}
    keep_settings(folder / SETTINGS_NAME, {'rules': RULES, **plain})  # views may be added
    existing = existing_counts(folder, numbers)
    _refuse_examples_beyond(folder, settings, existing)
    counts = {n: count for n, count in existing.items() if count == len(_views(settings, n))}
    progress(sum(counts.values()))
    missing = [number for number in numbers if number not in counts]
    if missing:  # a shard of before is replaced by a larger one, of which the index hid the rest
        (folder / INDEX_NAME).unlink(missing_ok=True)
    for number, count in _made(folder, settings, missing, workers, device):
        counts[number] = count
        progress(sum(counts.values()))
    write_index(folder, {shard_name(number): counts[number] for number in numbers})
    return sum(counts.values())


def example_seed(seed: int, view: int) -> int:
    """Return the seed of one of a seed's examples."""
    return seed * _SEEDS + view


def _views(settings: ShardSettings, number: int) -> range:
    """Return the examples of a shard."""
    first = number * settings.per_shard
    return range(first, min(first + settings.per_shard, settings.views))


def _refuse_shards_beyond(folder: Path, views: int, numbers: range) -> None:
    """Refuse examples that were not asked for: a training would take them too."""
    wanted = {shard_name(number) for number in numbers}
    beyond = sorted({path.name for path in folder.glob(f'*{SUFFIX}')} - wanted)
    if beyond:
        raise InputError(
            'training_data',
            f'{folder} already holds {beyond[0]}, which {views} views do not reach: ask for more, '
            'delete the shards beyond, or choose another folder.',
        )


def _refuse_examples_beyond(
    folder: Path, settings: ShardSettings, existing: Mapping[int, int]
) -> None:
    """Refuse to make a shard anew with fewer examples than it has."""
    for number, count in existing.items():
        views = _views(settings, number)
        if count > len(views):
            raise InputError(
                'training_data',
                f'{folder} already holds {shard_name(number)} with {count} examples, of which '
                f'{settings.views} views reach {len(views)}: ask for {views.start + count} or '
                'more, or choose another folder.',
            )


def _made(
    folder: Path, settings: ShardSettings, numbers: list[int], workers: int, device: str
) -> Iterator[tuple[int, int]]:
    if not numbers:
        return
    context = multiprocessing.get_context('spawn')  # a forked process cannot use CUDA
    stop = context.Event()
    workers = max(1, min(workers, len(numbers)))
    with ProcessPoolExecutor(workers, context, _begin, (stop,)) as pool:
        futures = [pool.submit(_make, folder, settings, n, device) for n in numbers]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_stop: Event | None = None


def _begin(stop: Event) -> None:
    """Prepare a worker: one thread, and the parent alone answers to an interrupt."""
    import signal

    import cv2
    import torch

    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _make(folder: Path, settings: ShardSettings, number: int, device: str) -> tuple[int, int]:
    from metric_depth_ros.simulation.examples import Example, simulate_example

    def examples() -> Iterator[tuple[str, Example]]:
        for view in _views(settings, number):
            if _stop is not None and _stop.is_set():
                raise InterruptedError('the simulation was stopped')
            seed = example_seed(settings.seed, view)
            kind, alone = _kind(settings, seed), settings.monocular
            example = simulate_example(seed, settings.split, device, kind, monocular=alone)
            yield f'{view:08d}', example

    return number, write_shard(folder / shard_name(number), examples())


def _kind(settings: ShardSettings, seed: int) -> str | None:
    if not settings.kinds:
        return None
    return settings.kinds[int(np.random.default_rng(seed).integers(len(settings.kinds)))]
