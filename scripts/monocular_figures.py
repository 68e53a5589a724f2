# SPDX-License-Identifier: Apache-2.0
"""Measure how far an estimator that needs an image alone can be trusted on recorded frames.

    python scripts/monocular_figures.py DIR --document docs/COMPACT.md [--estimator NAME]

DIR holds frame sets. Depth is compared as it is, and once more after its median was set to that
of the truth, which leaves the shape of the scene alone. Beside it stands one depth everywhere,
treated alike: what is no better has seen nothing. Focal lengths are recovered from images whose
cameras were taken away. The table goes between the document's `figures:monocular` markers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from figures import fill
from numpy.typing import NDArray

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.evaluation.metrics import depth_metrics
from metric_depth_ros.framesets import FrameSet, RecordedFrame, find_frame_sets

CONSTANT_M = 3.0  # the median depth of the simulated views


class Figures(NamedTuple):
    """What an image alone has told of one frame, or the means over a set.

    Attributes
    ----------
    abs_rel, delta1
        Of the depth as it is.
    constant_abs_rel
        AbsRel of `CONSTANT_M` everywhere.
    scaled_abs_rel, scaled_delta1
        Of the depth times a factor that makes the medians equal.
    flat_abs_rel
        AbsRel of the truth's median everywhere.
    focal_error
        |recovered / true - 1| of the focal length; NaN where the true one is unknown.
    """

    abs_rel: float
    delta1: float
    constant_abs_rel: float
    scaled_abs_rel: float
    scaled_delta1: float
    flat_abs_rel: float
    focal_error: float


TITLES = (
    'AbsRel',
    'delta1',
    f'AbsRel of {CONSTANT_M:g} m everywhere',
    'AbsRel, median set',
    'delta1, median set',
    'AbsRel of the median everywhere',
    'focal length off by',
)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('data', type=Path)
    parser.add_argument('--estimator', default='compact_student')
    parser.add_argument('--weights', default='', help='default: those that are shipped')
    parser.add_argument('--document', type=Path, help='write the table into it')
    args = parser.parse_args()
    estimator = create_estimator(args.estimator, EstimatorOptions(weights=args.weights))
    rows = {}
    for frame_set in find_frame_sets([args.data]):
        figures = [_figures(frame, estimator) for frame in _with_truth(frame_set)]
        if figures:
            rows[frame_set.name] = len(figures), Figures(*np.nanmean(figures, axis=0))
    table = '\n'.join(_table(rows))
    print(table)
    if args.document is not None:
        fill(args.document, {'monocular': table})
    return 0


def _with_truth(frame_set: FrameSet) -> list[RecordedFrame]:
    return [frame for frame in frame_set.frames if frame.ground_truth is not None]


def _figures(recorded: RecordedFrame, estimator: Estimator) -> Figures:
    """Return the figures of one frame."""
    frame, truth = recorded.load_frame(), recorded.load_ground_truth()
    known = np.isfinite(truth)
    depth = estimator.estimate(frame).depth
    median = np.float32(np.median(truth[known]))
    seen = known & np.isfinite(depth)
    scaled = depth * (median / np.median(depth[seen])) if seen.any() else depth
    as_it_is, shape = depth_metrics(depth, truth), depth_metrics(scaled, truth)
    return Figures(
        as_it_is['abs_rel'],
        as_it_is['delta1'],
        _constant_error(truth, CONSTANT_M),
        shape['abs_rel'],
        shape['delta1'],
        _constant_error(truth, median),
        np.nan if frame.camera is None else _focal_error(recorded, estimator),
    )


def _constant_error(truth: NDArray[np.float32], depth_m: float) -> float:
    return depth_metrics(np.full_like(truth, depth_m), truth)['abs_rel']


def _focal_error(recorded: RecordedFrame, estimator: Estimator) -> float:
    """Return how far the recovered focal length is off, NaN where none is recovered."""
    frame = recorded.load_frame()
    camera = estimator.estimate(replace(frame, camera=None)).camera
    if camera is None or frame.camera is None:
        return float('nan')
    return abs(float(camera.K[0, 0] / frame.camera.K[0, 0]) - 1.0)


def _table(rows: Mapping[str, tuple[int, Figures]]) -> Iterator[str]:
    yield '| frames | | ' + ' | '.join(TITLES) + ' |'
    yield '|---|---:|' + '---:|' * len(TITLES)
    for name, (count, figures) in rows.items():
        yield f'| {name} | {count} | {_cells(figures)} |'
    means = Figures(*np.nanmean([figures for _, figures in rows.values()], axis=0))
    yield f'| mean of the sets | | {_cells(means)} |'


def _cells(figures: Figures) -> str:
    lengths = [f'{figure:.2f}' for figure in figures[:-1]]
    return ' | '.join([*lengths, '' if np.isnan(figures[-1]) else f'{figures[-1]:.0%}'])


if __name__ == '__main__':
    sys.exit(main())
