# SPDX-License-Identifier: Apache-2.0
"""Estimators run over frame sets and scored. Imports frame sets, estimators' interface, metrics.

A group is one set with one prompt. Frames are loaded, estimated and scored one at a time; what
stays in memory is the scores.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.evaluation.boundary import boundary_f1
from metric_depth_ros.evaluation.metrics import (
    Aggregation,
    ErrorSums,
    aggregate,
    aggregate_per_image,
    aggregate_per_sample,
    error_sums,
)
from metric_depth_ros.framesets import FrameSet, RecordedFrame
from metric_depth_ros.types import DepthEstimate, Frame

# Sparse points show no contours, and a depth camera has holes exactly where contours run.
KINDS_WITH_BOUNDARIES = ('dense',)


@dataclass(frozen=True)
class Group:
    """One frame set with one of its prompts: what a row of the result table is about."""

    frame_set: FrameSet
    prompt: str

    @property
    def frames(self) -> list[RecordedFrame]:
        """The frames of the set that can be scored with the prompt."""
        return [f for f in self.frame_set.frames if self.prompt in f.prompt_names()]


@dataclass(frozen=True)
class FrameScore:
    """How well one frame was estimated.

    Parameters
    ----------
    overall
        Errors over all pixels with ground truth.
    unprompted
        The same, over those where the rasterized prompt has no value.
    masks
        The same, over named regions of the image.
    boundary_f1
        Boundary F1 over the pixels with ground truth; NaN where that is sparse or missing.
    coverage
        Share of all pixels with a finite prediction.
    """

    overall: ErrorSums
    unprompted: ErrorSums
    masks: Mapping[str, ErrorSums] = field(default_factory=dict)
    boundary_f1: float = float('nan')
    coverage: float = float('nan')


@dataclass(frozen=True, eq=False)
class ScoredFrame:
    """A frame that went through an estimator, with all that a report may want to show of it."""

    recorded: RecordedFrame
    frame: Frame
    estimate: DepthEstimate
    ground_truth: NDArray[np.float32]
    score: FrameScore
    elapsed_ms: float


def find_groups(
    frame_sets: Sequence[FrameSet], prompts: Sequence[str] | None = None
) -> list[Group]:
    """Return what there is to score: every scored prompt of every set, or only the named ones.

    Raises
    ------
    InputError
        A named prompt that no set has or that cannot be scored; the message lists those there are.
    """
    groups = [Group(s, name) for s in frame_sets for name in s.prompt_names()]
    scored = sorted({group.prompt for group in groups})
    known = {name for s in frame_sets for name in s.prompt_names(scored_only=False)}
    for name in prompts or ():
        if name in scored:
            continue
        reason = (
            'cannot be scored (no ground truth, or the ground truth is a part of it)'
            if name in known
            else 'does not exist in these frame sets'
        )
        raise InputError(
            'frame_set_prompt',
            f'prompt {name!r} {reason}; scored prompts are: {", ".join(scored) or "none"}.',
        )
    if not groups:
        names = ', '.join(s.name for s in frame_sets)
        raise InputError(
            'frame_set_prompt', f'nothing to score: no scored prompt in the frame sets {names}.'
        )
    return [group for group in groups if not prompts or group.prompt in prompts]


def score_frame(
    depth: NDArray[np.float32],
    ground_truth: NDArray[np.float32],
    prompted: NDArray[np.bool_],
    *,
    masks: Mapping[str, NDArray[np.bool_]] | None = None,
    with_boundaries: bool = False,
) -> FrameScore:
    """Score one depth map.

    Parameters
    ----------
    depth
        (H, W) meters as estimated; NaN = unknown.
    ground_truth
        (H, W) meters; NaN = unknown.
    prompted
        (H, W) pixels where the rasterized prompt has a value.
    masks
        Named (H, W) regions to score apart.
    with_boundaries
        Whether the ground truth is dense enough for boundary F1.
    """
    boundary = float('nan')
    known = np.isfinite(ground_truth)
    if with_boundaries and known.any():
        boundary = boundary_f1(depth, ground_truth, known).f1
    return FrameScore(
        overall=error_sums(depth, ground_truth),
        unprompted=error_sums(depth, ground_truth, ~prompted),
        masks={name: error_sums(depth, ground_truth, m) for name, m in (masks or {}).items()},
        boundary_f1=boundary,
        coverage=float(np.isfinite(depth).mean()),
    )


def run_group(group: Group, estimator: Estimator) -> Iterator[ScoredFrame]:
    """Estimate and score the frames of a group, one at a time."""
    for recorded in group.frames:
        frame = recorded.load_frame(group.prompt)
        assert frame.prompt is not None
        start = time.perf_counter()
        estimate = estimator.estimate(frame)
        elapsed_ms = 1e3 * (time.perf_counter() - start)
        ground_truth = recorded.load_ground_truth()
        assert recorded.ground_truth is not None
        score = score_frame(
            estimate.depth,
            ground_truth,
            np.isfinite(frame.prompt.to_map(recorded.width, recorded.height)),
            masks={name: recorded.load_mask(name) for name in recorded.masks},
            with_boundaries=recorded.ground_truth.kind in KINDS_WITH_BOUNDARIES,
        )
        yield ScoredFrame(recorded, frame, estimate, ground_truth, score, elapsed_ms)


@dataclass
class GroupResult:
    """The scores of a group, collected frame by frame."""

    group: Group
    scores: list[FrameScore] = field(default_factory=list)
    elapsed_ms: list[float] = field(default_factory=list)
    prompt_points: list[int] = field(default_factory=list)
    methods: set[str] = field(default_factory=set)
    samples: list[object] = field(default_factory=list)

    def add(self, scored: ScoredFrame) -> None:
        """Take in one frame; only its figures are kept."""
        self.scores.append(scored.score)
        self.elapsed_ms.append(scored.elapsed_ms)
        self.prompt_points.append(len(scored.frame.prompt or ()))
        self.methods.add(scored.estimate.method)
        self.samples.append(_sample_of(self.group.frame_set, scored.recorded))

    def summary(self, aggregation: Aggregation) -> dict[str, object]:
        """Return the group as it stands in the JSON; figures that do not exist are None."""
        overall = [s.overall for s in self.scores]
        metrics = aggregate(overall, aggregation, self.samples)
        boundary = self._boundary_f1(aggregation)
        if not math.isnan(boundary):
            metrics['boundary_f1'] = boundary
        unprompted = aggregate([s.unprompted for s in self.scores], aggregation, self.samples)
        pixels = sum(s.pixels for s in overall)
        masks = {
            name: known_figures(self._aggregate_mask(name, aggregation))
            for name in dict.fromkeys(name for s in self.scores for name in s.masks)
        }
        return {
            'set': self.group.frame_set.name,
            'prompt': self.group.prompt,
            'frames': len(self.scores),
            'frames_without_ground_truth': sum(s.pixels == 0 for s in overall),
            'frames_without_prompt': sum(count == 0 for count in self.prompt_points),
            'prompt_points': float(np.mean(self.prompt_points)),
            'methods': sorted(self.methods),
            'metrics': known_figures(metrics),
            'metrics_unprompted': known_figures(unprompted),
            'failures': sum(s.failures for s in overall) / pixels if pixels else None,
            'coverage': float(np.mean([s.coverage for s in self.scores])),
            'ms': {
                'p50': float(np.percentile(self.elapsed_ms, 50)),
                'p95': float(np.percentile(self.elapsed_ms, 95)),
            },
            'masks': masks,
        }

    def _boundary_f1(self, aggregation: Aggregation) -> float:
        """Return the mean over samples, or over images: pixels of several cannot be pooled."""
        images = [{'boundary_f1': s.boundary_f1} for s in self.scores]
        if aggregation is Aggregation.PER_SAMPLE:
            return aggregate_per_sample(images, self.samples)['boundary_f1']
        return aggregate_per_image(images)['boundary_f1']

    def _aggregate_mask(self, name: str, aggregation: Aggregation) -> dict[str, float]:
        inside = [s.masks.get(name, ErrorSums()) for s in self.scores]
        return aggregate(inside, aggregation, self.samples)


def known_figures(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Return the figures with None for NaN, which JSON does not have."""
    return {name: None if math.isnan(value) else value for name, value in metrics.items()}


def _sample_of(frame_set: FrameSet, recorded: RecordedFrame) -> object:
    """Return the sample that a frame belongs to: its instant, where cameras share one."""
    sample = recorded.details.get('sample')
    if sample is not None and type(sample) not in (str, int):
        raise InputError(
            'frame_set_schema',
            f'frame {recorded.id} of {frame_set.name}: sample is {sample!r}, expected a string or '
            'a whole number, the same for all cameras of an instant: correct frames.json.',
        )
    if sample is not None:
        return sample
    return frame_set.name if frame_set.multi_camera else recorded.id
