# SPDX-License-Identifier: Apache-2.0
"""What a training is told: a YAML file, checked key by key before anything starts.

A key that is unknown, missing or of a wrong type is named with its file. Standard library, PyYAML.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from metric_depth_ros.errors import InputError
from metric_depth_ros.plain_values import PlainValues

# Modules of `recipes`; here, so that the help of the command loads none of them.
RECIPES = (
    'teacher',
    'student',
    'pointmap',
    'radar',
    'masked',
    'compact',
    'compact_student',
    'depth_tokens',
)
PRECISIONS = ('fp32', 'bf16')
SCHEDULES = ('cosine', 'constant', 'halving')
SOURCES = ('shards', 'frames', 'kitti')
_LARGEST_RATE = 10.0
_VALUES = PlainValues('training_config', text_numbers=True)

Section = TypeVar('Section')


@dataclass(frozen=True)
class SourceConfig:
    """Examples that take part.

    Attributes
    ----------
    path
        Folder; one that is not absolute is relative to where the command is run.
    kind
        ``'shards'``, ``'frames'`` (frame sets) or ``'kitti'`` (depth completion).
    fraction
        Only the first part of them, more than 0.
    repeat
        Visits an epoch, more than 0.
    real
        The depth is a sensor's, wrong here and there, rather than rendered.
    metric
        The depth is in meters; false for rendered depth in an unknown unit.
    """

    path: str
    kind: str = 'shards'
    fraction: float = 1.0
    repeat: float = 1.0
    real: bool = False
    metric: bool = True

    def __post_init__(self) -> None:
        one_of('kind', self.kind, SOURCES)
        positive('fraction', self.fraction, 1.0)
        positive('repeat', self.repeat, 1e6)
        if self.real and not self.metric:
            raise ValueError(
                'metric is false and real is true, expected one of them at most: nothing is '
                'learned from measured depth without its scale.'
            )


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW, and how its rates change.

    Attributes
    ----------
    rate, backbone_rate
        Peak learning rates of the head and of the pretrained transformer.
    weight_decay, betas
        Of AdamW; biases and scales do not decay.
    clip_norm
        Largest norm of the gradient.
    warmup_steps, backbone_warmup_steps
        Linear rise from 0; None for the backbone is the same as the head.
    schedule
        ``'cosine'`` to `final_share` of the peak at the last step, ``'constant'``, or
        ``'halving'`` every `halving_steps`.
    final_share, halving_steps
        See `schedule`.
    """

    rate: float
    backbone_rate: float | None = None
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float = 1.0
    warmup_steps: int = 0
    backbone_warmup_steps: int | None = None
    schedule: str = 'cosine'
    final_share: float = 0.0
    halving_steps: int = 25_000

    def __post_init__(self) -> None:
        one_of('schedule', self.schedule, SCHEDULES)
        within('rate', self.rate, 0.0, _LARGEST_RATE)
        if self.backbone_rate is not None:
            within('backbone_rate', self.backbone_rate, 0.0, _LARGEST_RATE)
        within('weight_decay', self.weight_decay, 0.0, 1e3)
        positive('clip_norm', self.clip_norm, 1e9)
        within('warmup_steps', self.warmup_steps, 0, 10**9)
        if self.backbone_warmup_steps is not None:
            within('backbone_warmup_steps', self.backbone_warmup_steps, 0, 10**9)
        within('final_share', self.final_share, 0.0, 1.0)
        within('halving_steps', self.halving_steps, 1, 10**9)
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ValueError(f'betas are {self.betas}, expected numbers from 0 to less than 1.')


@dataclass(frozen=True)
class EveryConfig:
    """After how many steps something is done.

    Attributes
    ----------
    log, validate, checkpoint, pictures
        Steps between lines of metrics.jsonl, figures of the validation set, checkpoints and
        picture sheets; 0 is only at the end, which lines cannot be.
    keep
        Checkpoints that are kept, newest first; 0 keeps all.
    """

    log: int = 20
    validate: int = 1000
    checkpoint: int = 1000
    pictures: int = 1000
    keep: int = 2

    def __post_init__(self) -> None:
        within('log', self.log, 1, 10**9)  # losses are kept until then, and looked at
        for name in ('validate', 'checkpoint', 'pictures', 'keep'):
            within(name, getattr(self, name), 0, 10**9)


@dataclass(frozen=True)
class TrainingConfig:
    """A whole training.

    Attributes
    ----------
    recipe
        What is trained, and how: the name of a recipe.
    data, validation
        Where examples come from; without a validation set no figures but the loss are known.
    optimizer
        AdamW, and how its rates change.
    steps, batch_size
        Updates of the weights, and images in each, over all processes together.
    accumulate
        Passes that a process divides its part of a batch into.
    seed
        Same seed, same weights.
    network, options
        Of the recipe: the shape of its network, and its own choices.
    start_from
        File of the weights to begin with, of the network or of its transformer alone; null begins
        at random.
    precision
        ``'fp32'`` or ``'bf16'`` (products in bf16, sums and weights in fp32).
    ema_decay
        Of the running mean of the weights, which is what is validated and shipped; 0 for none.
    window
        Examples that are shuffled among each other at a time, after whole files are; 0 shuffles
        everything.
    workers
        Processes that prepare examples, of each training process; 0 prepares in line.
    validation_count
        Examples of the validation set that are looked at; 0 for all.
    every
        How often something is told, checked and saved.
    """

    recipe: str
    data: tuple[SourceConfig, ...]
    optimizer: OptimizerConfig
    steps: int
    batch_size: int
    accumulate: int = 1
    seed: int = 0
    validation: tuple[SourceConfig, ...] = ()
    network: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    start_from: str | None = None
    precision: str = 'fp32'
    ema_decay: float = 0.999
    window: int = 0
    workers: int = 2
    validation_count: int = 0
    every: EveryConfig = field(default_factory=EveryConfig)

    def __post_init__(self) -> None:
        one_of('precision', self.precision, PRECISIONS)
        within('steps', self.steps, 1, 10**9)
        within('batch_size', self.batch_size, 1, 10**6)
        within('accumulate', self.accumulate, 1, 10**6)
        within('ema_decay', self.ema_decay, 0.0, 1.0)
        within('seed', self.seed, 0, 2**32 - 1)
        within('window', self.window, 0, 10**9)
        within('workers', self.workers, 0, 10**4)
        within('validation_count', self.validation_count, 0, 10**9)
        if not self.data:
            raise ValueError('data: expected at least one source of examples.')
        for number, source in enumerate(self.validation):
            if not source.metric:
                raise ValueError(
                    f'validation[{number}]: metric is false, expected true: its figures are of '
                    'meters.'
                )

    def plain(self) -> dict[str, Any]:
        """Return the values as they are stored with a checkpoint."""
        return asdict(self)


# What may differ between a checkpoint and the training that goes on from it: nothing that decides
# what the next step sees.
FREE_ON_RESUME = (
    'steps',
    'every',
    'workers',
    'optimizer',
    'validation',
    'validation_count',
    'accumulate',
    'start_from',
)


def read_config(path: Path) -> TrainingConfig:
    """Read and check a configuration.

    Raises
    ------
    InputError
        A file that cannot be read, or a key that cannot be used; both are named.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text('utf-8'))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError('training_config', f'{path} cannot be read: {error}.') from error
    return section_from(TrainingConfig, content, str(path))


def section_from(kind: type[Section], content: Any, where: str) -> Section:
    """Return a configuration dataclass of plain values.

    Parameters
    ----------
    where
        Names the place in errors, e.g. ``'tiny.yaml: optimizer'``.

    Raises
    ------
    InputError
        A key that is missing, unknown, or has a value of another type or out of range.
    """
    return _VALUES.read(kind, content, where)


def one_of(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Refuse a value that is none of the choices."""
    if value not in choices:
        raise ValueError(f'{name} is {value!r}, expected one of {", ".join(map(str, choices))}.')


def within(name: str, value: float, low: float, high: float) -> None:
    """Refuse a number out of range."""
    if not low <= value <= high:
        raise ValueError(f'{name} is {value}, expected {low} to {high}.')


def positive(name: str, value: float, high: float = math.inf) -> None:
    """Refuse a number that is not above 0, or is out of range."""
    if not 0.0 < value <= high:
        most = '' if math.isinf(high) else f' and at most {high:g}'
        raise ValueError(f'{name} is {value}, expected more than 0{most}.')


def multiples_of(name: str, sizes: Sequence[tuple[int, int]], px: int) -> None:
    """Refuse (width, height) that are no positive multiples of some pixels, and to have none."""
    odd = [size for size in sizes if any(side < 1 or side % px for side in size)]
    if odd or not sizes:
        raise ValueError(f'{name}: {odd or "none"} given, expected positive multiples of {px}.')
