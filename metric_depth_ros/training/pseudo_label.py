# SPDX-License-Identifier: Apache-2.0
"""Labels by a teacher: dense depth for examples that have little, as shards for a student.

The teacher sees a random part of an example's own depth; the rest says whether its answer can be
trusted. Source: MetricAnything, section 3.3; the check is a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.simulation.worlds import KINDS
from metric_depth_ros.training.prompts import MASKED_POINTS, masked_prompt
from metric_depth_ros.training.shards import (
    existing_counts,
    keep_settings,
    shard_name,
    write_index,
    write_shard,
)
from metric_depth_ros.training.sources import ExampleSource
from metric_depth_ros.types import Frame, SparsePrompt

SETTINGS_NAME = 'labeled.json'
RULES = 2  # one more whenever the same settings give other labels
FARTHEST_M = 400.0
_HELD_OUT_SHARE = 0.1  # of the points
_KEPT_SHARE = 0.8  # of the held-out errors: sensors are wrong here and there


@dataclass(frozen=True)
class LabelSettings:
    """How labels are made.

    Attributes
    ----------
    points
        Least and most points of a prompt on the papers' canvas.
    worst_abs_rel
        Examples whose held-out points the teacher misses by more, robustly, are left out, and
        those too small to hold any out; +Inf switches this off.
    farthest_m
        Label beyond is endless.
    per_shard
        Examples in a shard.
    seed
        Of the prompts.
    """

    points: tuple[int, int] = MASKED_POINTS
    worst_abs_rel: float = 0.1
    farthest_m: float = FARTHEST_M
    per_shard: int = 128
    seed: int = 0


@dataclass
class LabelCounts:
    """What has become of the examples.

    Attributes
    ----------
    labeled, refused
        Examples with a label, and those whose label was too wrong.
    present
        Examples of shards that were there before.
    """

    labeled: int = 0
    refused: int = 0
    present: int = 0


def write_labels(
    source: ExampleSource,
    teacher: Estimator,
    out: Path,
    settings: LabelSettings,
    origin: Mapping[str, Any],
    part: tuple[int, int] = (0, 1),
    progress: Callable[[int], None] = lambda examples: None,
) -> LabelCounts:
    """Label a source into shards; shards that are there already stay.

    Parameters
    ----------
    origin
        Plain values that tell the labels of this teacher and source from those of others.
    part
        (k, n): only every n-th shard from the k-th, so that n machines share the work.
    progress
        Called with the number of examples that are done.

    Raises
    ------
    InputError
        The folder holds labels of other settings, or by other rules.
    """
    out.mkdir(parents=True, exist_ok=True)
    about = {'rules': RULES, **origin, **asdict(settings), 'examples': len(source)}
    keep_settings(out / SETTINGS_NAME, about)
    counts = LabelCounts()
    numbers = range(-(-len(source) // settings.per_shard))
    mine = [number for number in numbers if number % part[1] == part[0]]
    present = existing_counts(out, mine)
    done = 0
    for number in mine:
        first = number * settings.per_shard
        examples = range(first, min(first + settings.per_shard, len(source)))
        if number in present:
            counts.present += present[number]
        else:
            named = _labeled(source, teacher, settings, examples, counts)
            write_shard(out / shard_name(number), named)
        done += len(examples)
        progress(done)
    everywhere = existing_counts(out, numbers)
    if len(everywhere) == len(numbers):
        write_index(out, {shard_name(number): count for number, count in everywhere.items()})
    return counts


def label(
    example: Example, teacher: Estimator, settings: LabelSettings, rng: np.random.Generator
) -> tuple[Example, float]:
    """Return an example with the teacher's depth, and the error at the held-out points.

    What a rendered example knows to be endless stays so; recorded depth is endless beyond the
    sensor's range, too, where only the teacher knows what there is.
    The error is the mean absolute relative one over the better four fifths; of two points and
    more one is held out at least, and without it the error is infinite.
    """
    drawn = masked_prompt(example, rng, settings.points)
    held_out = rng.random(len(drawn)) < _HELD_OUT_SHARE
    if len(drawn) > 1 and not held_out.any():
        held_out[rng.integers(len(drawn))] = True
    frame = Frame(0, '', example.image, example.camera, drawn.subset(~held_out))
    depth = teacher.estimate(frame).depth
    error = _robust_error(depth, drawn.subset(held_out))
    known = np.where(depth > 0, depth, np.float32(np.nan))
    endless = known > settings.farthest_m
    if example.kind in KINDS:
        # A teacher that is shown points takes the sky for something near the farthest of them.
        endless |= np.isposinf(example.depth)
    labeled = np.where(endless, np.float32(np.inf), known).astype(np.float32)
    return replace(example, depth=labeled), error


def _labeled(
    source: ExampleSource,
    teacher: Estimator,
    settings: LabelSettings,
    examples: range,
    counts: LabelCounts,
) -> Iterator[tuple[str, Example]]:
    for index in examples:
        example = source.load(index)
        if not np.isfinite(example.depth).any():
            counts.refused += 1
            continue
        rng = np.random.default_rng((settings.seed, index))
        labeled, error = label(example, teacher, settings, rng)
        if error > settings.worst_abs_rel:
            counts.refused += 1
            continue
        counts.labeled += 1
        yield f'{index:08d}', labeled


def _robust_error(depth: NDArray[np.float32], points: SparsePrompt) -> float:
    if not len(points):
        return float('inf')
    column, row = np.rint(points.uv).astype(np.intp).T
    found = depth[row, column]
    errors = np.abs(found - points.depth) / points.depth
    errors = np.sort(np.where(np.isfinite(errors), errors, np.inf))
    return float(errors[: max(1, int(_KEPT_SHARE * len(errors)))].mean())
