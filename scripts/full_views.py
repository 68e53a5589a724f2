#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare weights of the compact teacher on simulated views of the size of real images.

    python scripts/full_views.py out/full_views [WEIGHTS ...] [--document docs/COMPACT.md]

The views are of worlds of families that no training sees, streets, rooms, table-tops and terrain.
They are made once and kept in the folder, which takes minutes. Weights are chosen by them: the
windows that a training sees, and its validation, are several times smaller than a real image.
Each is also seen as recorded ones often are: with paint on its surfaces, for real ones are less
plain than simulated ones, and with the image some pixels beside depth and points.
Errors are in shares of those of the guess: geometric means, and the mean of the boundary F1.
"""

from __future__ import annotations

import argparse
import sys
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from figures import fill
from numpy.typing import NDArray

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.evaluation.boundary import boundary_f1
from metric_depth_ros.evaluation.metrics import depth_metrics
from metric_depth_ros.simulation.examples import simulate_example
from metric_depth_ros.simulation.sensors.policy import SHARES, draw_prompt
from metric_depth_ros.training.painted import with_paint
from metric_depth_ros.training.shards import ShardSource, shard_name, write_shard
from metric_depth_ros.training.views import misregistered
from metric_depth_ros.types import Frame, Source, SparsePrompt

GUESS = 'classical:quality'
VIEWS = (
    *(('street', (1216, 352)),) * 16,
    *(('room', (640, 480)),) * 14,
    *(('tabletop', (640, 480)),) * 4,
    *(('street', (960, 608)),) * 8,
    *(('terrain', (960, 608)),) * 2,
)
FIRST_SEED = 9000  # of the views; validations of trainings have smaller ones
PROMPT_SEED = 12
LIMITS_PX = (6, 12, 27, 80)  # of the distance between points, for the rows of the table
KINDS = (
    *(f'points less than {limit} pixels apart' for limit in LIMITS_PX),
    f'points {LIMITS_PX[-1]} pixels apart or more',
    'radar',
)
_FLAW_STREAM = 1000  # beside those of the prompts
FLAWED = 'all, painted and misregistered'
_NEGLIGIBLE = 1e-3  # AbsRel, and meters, below which a ratio says nothing
_SKY_M = 200.0  # of pixels without depth, for contours


class Errors(NamedTuple):
    """Of one prompt of one view."""

    abs_rel: float
    rmse_m: float
    boundary_f1: float


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path, help='where the views are kept')
    parser.add_argument('weights', nargs='*', help='files; default: those that are shipped')
    parser.add_argument('--prompts', type=int, default=2, help='of each view')
    parser.add_argument('--document', type=Path, help='write the table into it')
    args = parser.parse_args()
    views = _views(args.folder)
    estimators = {GUESS: create_estimator(GUESS, EstimatorOptions())} | {
        weights or 'shipped': create_estimator(
            'compact_teacher', EstimatorOptions(weights=weights)
        )
        for weights in args.weights or ('',)
    }
    errors: dict[str, dict[str, list[Errors]]] = {name: {} for name in estimators}
    for frame, truth, kind in _frames(views, args.prompts):
        for name, estimator in estimators.items():
            errors[name].setdefault(kind, []).append(_errors_of(estimator, frame, truth))
        print(f'{sum(map(len, errors[GUESS].values()))}: {kind}', file=sys.stderr)
    table = '\n'.join(_table(errors))
    print(table)
    if args.document is not None:
        fill(args.document, {'full_views': table})
    return 0


def _views(folder: Path) -> ShardSource:
    """Return the views, made where they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (kind, size) in enumerate(VIEWS):
        path = folder / shard_name(number)
        if not path.is_file():
            view = simulate_example(FIRST_SEED + number, 'validation', kind=kind, size=size)
            write_shard(path, [(f'{number:06d}', view)])
            print(f'made view {number + 1} of {len(VIEWS)}', file=sys.stderr)
    return ShardSource(folder)


def _frames(views: ShardSource, prompts: int) -> Iterator[tuple[Frame, NDArray[np.float32], str]]:
    """Yield each view with each of its prompts, its truth, and the kind of the prompt.

    Then the same with paint on the view, and its image moved.
    """
    shares = {name: share for name, share in SHARES.items() if name != 'none'}
    for number in range(len(views)):
        view = views.load(number)
        rng = np.random.default_rng((PROMPT_SEED, number, _FLAW_STREAM))
        flawed = misregistered(with_paint(view, rng).image, rng)
        truth = np.where(np.isfinite(view.depth), view.depth, np.float32(np.nan))
        for which in range(prompts):
            prompt = draw_prompt(view, np.random.default_rng((PROMPT_SEED, number, which)), shares)
            if len(prompt):
                frame = Frame(0, 'camera', view.image, view.camera, prompt)
                yield frame, truth, _kind_of(prompt, truth.size)
                yield replace(frame, image=flawed), truth, FLAWED


def _kind_of(prompt: SparsePrompt, pixels: int) -> str:
    """Return what row of the table a prompt belongs to: radar, or the distance of its points."""
    if np.all(prompt.source == Source.RADAR):
        return KINDS[-1]
    return KINDS[bisect_right(LIMITS_PX, (pixels / len(prompt)) ** 0.5)]


def _errors_of(estimator: Estimator, frame: Frame, truth: NDArray[np.float32]) -> Errors:
    depth = estimator.estimate(frame).depth
    metrics = depth_metrics(depth, truth)
    known = np.isfinite(truth)
    shown, true = (np.where(known, d, np.float32(_SKY_M)) for d in (depth, truth))
    return Errors(metrics['abs_rel'], metrics['rmse_m'], boundary_f1(shown, true).f1)


def _table(errors: dict[str, dict[str, list[Errors]]]) -> Iterator[str]:
    """Yield the lines of a table: a row for each kind of prompt, one for all, one for flaws."""
    names = [name for name in errors if name != GUESS]
    titles = [f'{figure}, {name}' for name in names for figure in ('AbsRel', 'RMSE', 'F1')]
    yield f'| prompts | number | F1, `{GUESS}` | ' + ' | '.join(titles) + ' |'
    yield '|---|' + '---:|' * (2 + len(titles))
    present = [kind for kind in KINDS if kind in errors[GUESS]]
    together = (('**all**', present), (f'**{FLAWED}**', [FLAWED]))
    for title, kinds in (*((kind, [kind]) for kind in present), *together):
        rows = {name: np.array([e for k in kinds for e in errors[name][k]]) for name in errors}
        reference = rows[GUESS]
        cells = [title, str(len(reference)), f'{np.nanmean(reference[:, 2]):.3f}']
        for name in names:
            ratio = np.log((rows[name][:, :2] + _NEGLIGIBLE) / (reference[:, :2] + _NEGLIGIBLE))
            cells += [f'{x:.3f}' for x in np.exp(ratio.mean(axis=0))]
            cells.append(f'{np.nanmean(rows[name][:, 2]):.3f}')
        yield '| ' + ' | '.join(cells) + ' |'


if __name__ == '__main__':
    sys.exit(main())
