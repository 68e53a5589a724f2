# SPDX-License-Identifier: Apache-2.0
"""Batches by step: a pure function of seed and step, prepared by worker processes. Torch."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from metric_depth_ros.errors import InputError
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.config import SourceConfig, TrainingConfig
from metric_depth_ros.training.order import EpochOrder, Share
from metric_depth_ros.training.recipes import Prepared, Recipe
from metric_depth_ros.training.sources import ExampleSource, open_source

_SUBSTITUTES = 50  # examples that are tried in place of one that teaches nothing
UNSCALED_MEDIAN = 5.0  # of an example's depth, where its unit is unknown
_VIEW_STREAM, _ITEM_STREAM, _VALIDATION_STREAM = range(3)


# A worker that is forked once OpenCV or torch have used their threads here waits for ever.
_START_METHOD = 'forkserver'
_STOPS = (signal.SIGINT, signal.SIGTERM)  # the training ends its step, and then its workers


class Request(NamedTuple):
    """One example of a batch.

    Parameters
    ----------
    position
        Counted from the beginning of the training; decides example and random numbers.
    size
        (width, height) of the view.
    drawn
        What else is the same for all examples of its step: arrays, by name.
    """

    position: int
    size: tuple[int, int] | None
    drawn: Mapping[str, Any]


class Sources:
    """Several sources of examples under one numbering.

    Parameters
    ----------
    configs
        Where they are and how they take part.
    seed, window
        See `EpochOrder`.
    """

    def __init__(self, configs: Sequence[SourceConfig], seed: int = 0, window: int = 0) -> None:
        self.opened: list[ExampleSource] = [open_source(Path(c.path), c.kind) for c in configs]
        self.real = [config.real for config in configs]
        self._metric = [config.metric for config in configs]
        shares = [
            Share(tuple(source.groups), config.fraction, config.repeat)
            for source, config in zip(self.opened, configs, strict=True)
        ]
        self.order = EpochOrder(shares, seed, window)
        self.sizes = [share.size for share in shares]

    def load(self, source: int, index: int) -> Example:
        """Return an example. Endless depth is sky, but to a sensor only beyond its range."""
        example = self.opened[source].load(index)
        if not self._metric[source]:
            return _with_a_scale(example)
        if not self.real[source]:
            return example
        known = np.where(np.isposinf(example.depth), np.float32(np.nan), example.depth)
        return replace(example, depth=known)


def _with_a_scale(example: Example) -> Example:
    """Return depth and points of an unknown unit in another, for what has limits in meters."""
    known = example.depth[np.isfinite(example.depth) & (example.depth > 0.0)]
    scale = np.float32(UNSCALED_MEDIAN / np.median(known)) if known.size else np.float32(1.0)
    sensors = {
        name: replace(points, depth=points.depth * scale, sigma=points.sigma * scale)
        for name, points in example.sensors.items()
    }
    return replace(example, depth=example.depth * scale, sensors=sensors, metric=False)


class TrainingExamples(Dataset[Prepared]):
    """Prepared examples by request."""

    def __init__(self, sources: Sources, recipe: Recipe, seed: int) -> None:
        self._sources = sources
        self._recipe = recipe
        self._seed = seed

    def __getitem__(self, request: Request) -> Prepared:
        """Prepare an example, or the next one that something can be learned from."""
        rng = np.random.default_rng((self._seed, _ITEM_STREAM, request.position))
        for offset in range(_SUBSTITUTES):
            source, index = self._sources.order.at(request.position + offset)
            prepared = self._recipe.prepare(
                self._sources.load(source, index),
                request.size,
                rng,
                real=self._sources.real[source],
                augment=True,
            )
            if prepared is not None:
                return replace(prepared, arrays={**prepared.arrays, **request.drawn})
        raise InputError(
            'training_data',
            f'none of {_SUBSTITUTES} examples in a row has enough depth to learn from.',
        )


class ValidationExamples(Dataset['Prepared | None']):
    """Prepared examples by number, always the same and with the same prompts."""

    def __init__(self, sources: Sources, recipe: Recipe, count: int) -> None:
        self._sources = sources
        self._recipe = recipe
        numbered = [(s, i) for s, size in enumerate(sources.sizes) for i in range(size)]
        count = min(count or len(numbered), len(numbered))
        self._numbered = [numbered[i * len(numbered) // count] for i in range(count)]

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self._numbered)

    def __getitem__(self, number: int) -> Prepared | None:
        """Prepare an example; None when it has no depth to compare with."""
        source, index = self._numbered[number]
        return self._recipe.prepare(
            self._sources.load(source, index),
            None,
            np.random.default_rng((_VALIDATION_STREAM, source, index)),
            real=self._sources.real[source],
            augment=False,
        )


class StepSampler(Sampler[list[Request]]):
    """The requests of one process, one list a pass, without end.

    Parameters
    ----------
    config
        Batch size, passes of a step, seed.
    recipe
        Draws the size of a step's views.
    first_step
        Where to begin.
    process, processes
        Which part of every batch; the parts make up the same batch whatever their number.
    """

    def __init__(
        self, config: TrainingConfig, recipe: Recipe, first_step: int, process: int, processes: int
    ) -> None:
        parts = processes * config.accumulate
        if config.batch_size % parts:
            raise InputError(
                'training_config',
                f'batch_size is {config.batch_size}, expected a multiple of {parts}: '
                f'{processes} processes of {config.accumulate} passes each.',
            )
        self._config = config
        self._recipe = recipe
        self._first_step = first_step
        self._process = process
        self._each = config.batch_size // parts

    def __iter__(self) -> Iterator[list[Request]]:
        """Yield lists of requests, pass after pass."""
        step = self._first_step
        while True:
            rng = np.random.default_rng((self._config.seed, _VIEW_STREAM, step))
            size = self._recipe.view_size(rng)
            drawn = self._recipe.drawn_for_step(rng)
            first = step * self._config.batch_size
            first += self._process * self._config.accumulate * self._each
            for part in range(self._config.accumulate):
                start = first + part * self._each
                yield [Request(start + i, size, drawn) for i in range(self._each)]
            step += 1


def training_batches(
    examples: TrainingExamples, sampler: StepSampler, recipe: Recipe, workers: int
) -> Iterator[dict[str, Any]]:
    """Return an endless iterator over collated batches on the CPU."""
    loader = DataLoader(
        _ExamplesOrRefusals(examples),
        batch_sampler=sampler,
        collate_fn=partial(_batch_or_refusal, recipe.collate),
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
        **_loader(workers),
    )
    return _unless_refused(iter(loader))


def validation_examples(
    examples: ValidationExamples, workers: int, process: int, processes: int
) -> Iterator[Prepared | None]:
    """Return an iterator over the examples of one process, one at a time."""
    loader = DataLoader(
        _ExamplesOrRefusals(examples),
        batch_size=None,
        sampler=range(process, len(examples), processes),
        **_loader(workers),
    )
    return _unless_refused(loader)


class _ExamplesOrRefusals(Dataset[Any]):
    """Examples, or the `InputError` in place of one.

    What a worker raises, a loader raises as a `RuntimeError` with the worker's traceback.
    """

    def __init__(self, examples: Dataset[Any]) -> None:
        self._examples = examples

    def __getitem__(self, request: Any) -> Any:
        try:
            return self._examples[request]
        except InputError as error:
            return error


def _batch_or_refusal(
    collate: Callable[[Sequence[Prepared]], dict[str, Any]], prepared: Sequence[Any]
) -> dict[str, Any] | InputError:
    refused = (one for one in prepared if isinstance(one, InputError))
    return next(refused, None) or collate(prepared)


def _unless_refused(answers: Iterable[Any]) -> Iterator[Any]:
    """Yield answers; one that is a refusal is raised."""
    for answer in answers:
        if isinstance(answer, InputError):
            raise answer
        yield answer


def _begin_worker(worker: int) -> None:
    """Workers are many and each is busy: threads of one only take from another."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_the_training, daemon=True).start()


def _end_with_the_training() -> None:
    """End a worker whose training was killed: their server, which it keeps alive, hides that."""
    training = multiprocessing.parent_process()
    assert training is not None  # of a worker
    training.join()
    os._exit(1)


@atexit.register
def _end_workers() -> None:
    """End the workers that an error has left: SIGTERM, which would be tried, does not reach them.

    What is left here is not waited for; this process would never end.
    """
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def _loader(workers: int) -> dict[str, Any]:
    """Return the arguments of a loader that say how its workers run.

    Terminals and schedulers signal them too, but the training still waits for the batches of its
    last step: their server, and so they, start with these signals blocked.
    """
    if not workers:
        return {}
    resource_tracker.ensure_running()  # first: its start lets through what was blocked
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return {
        'num_workers': workers,
        'worker_init_fn': _begin_worker,
        'multiprocessing_context': _START_METHOD,
    }
