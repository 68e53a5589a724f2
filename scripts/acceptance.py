#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure what a default estimator has to hold on recorded frames, beside the classical one.

    python scripts/acceptance.py DIR --estimator compact_teacher [--weights FILE]

DIR holds the evaluation frame sets, which are not shipped, and their `baselines.json`. Measured
are the ratios to the best of the five baselines, contours, what replaced points cost, whether
confidence tells the error, and how far the prompts themselves are from the truth. Figures go to
OUT as JSON, pictures as PNG; with `--document` the tables go into a document, between its
`figures` markers.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import cv2
import numpy as np
from figures import fill
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.evaluation.metrics import Aggregation
from metric_depth_ros.evaluation.pictures import colorize_depth, depth_range, side_by_side
from metric_depth_ros.evaluation.scoring import (
    KINDS_WITH_BOUNDARIES,
    Group,
    GroupResult,
    find_groups,
    run_group,
)
from metric_depth_ros.framesets import FrameSet, find_frame_sets
from metric_depth_ros.simulation.sensors.faults import misplace
from metric_depth_ros.types import DepthEstimate, Frame

OUTLIERS = 0.05  # share of the points whose depth is replaced by any other
DECILES = 10
APART = 0.01  # of the true depth: a point farther off disagrees with the truth
COVERED = 0.03  # of the true pixels have a point, where the points' own error tells something
LOOKED_AT = ('lingbot_examples', 'rgbd')
_CELL_PX = 320
_TRIANGLE = 3

GroupName = tuple[str, str]


@dataclass(frozen=True)
class Measured:
    """What one estimator did.

    Attributes
    ----------
    metrics
        By group, as `metric-depth evaluate` has them.
    deciles
        By group: mean relative error of each tenth of the pixels, least confident first.
    """

    metrics: dict[GroupName, Mapping[str, Any]]
    deciles: dict[GroupName, list[float]]


class Linear(Estimator):
    """Triangulates the points; outside their hull it answers their nearest one."""

    name = 'linear'

    def __init__(self, nearest: Estimator) -> None:
        self._nearest = nearest

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Return depth that is linear over every triangle."""
        outside = self._nearest.estimate(frame)
        if frame.prompt is None or len(frame.prompt) < _TRIANGLE:
            return outside
        pixels = np.argwhere(np.ones_like(outside.depth, bool))[:, ::-1]
        inside = LinearNDInterpolator(frame.prompt.uv, frame.prompt.depth)(pixels)
        inside = inside.reshape(outside.depth.shape)
        depth = np.where(np.isfinite(inside), inside, outside.depth).astype(np.float32)
        return replace(outside, depth=depth, confidence=None, method=self.name)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('data', type=Path)
    parser.add_argument('--estimator', default='compact_teacher')
    parser.add_argument('--weights', default='', help='default: those that are shipped')
    parser.add_argument('--out', type=Path, default=Path('out/acceptance'))
    parser.add_argument('--document', type=Path, help='write the tables into it')
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sets = find_frame_sets([args.data])
    names = ('nearest', 'classical:quality', args.estimator)
    estimators = {
        name: create_estimator(
            name, EstimatorOptions(weights=args.weights if name == args.estimator else '')
        )
        for name in names
    }
    measured = {name: _measure(find_groups(sets), made) for name, made in estimators.items()}
    best = _best_baselines(args.data / 'baselines.json')
    ratios = {name: _ratios(measured[name], best) for name in names[1:]}
    contours = _contours(sets, [Linear(estimators['nearest']), *estimators.values()])
    costs = {name: _cost_of_outliers(sets, estimators[name]) for name in names[1:]}
    deciles = {'/'.join(k): v for k, v in measured[args.estimator].deciles.items()}
    points = _errors_of_points(sets)
    figures = {
        'ratios': ratios,
        'contours': contours,
        'outliers': costs,
        'deciles': deciles,
        'points': points,
    }
    (args.out / 'figures.json').write_text(json.dumps(figures, indent=1) + '\n', 'utf-8')
    _write_pictures(args.out / 'pictures.png', sets, list(estimators.values())[1:])
    tables = {
        'ratios': '\n'.join(_ratio_table(ratios)),
        'contours': '\n'.join(_contour_table(contours)),
        'outliers': '\n'.join(_outlier_table(costs)),
        'deciles': '\n'.join(_decile_table(deciles)),
        'points': '\n'.join(_point_table(points)),
    }
    print('\n\n'.join(tables.values()))
    if args.document is not None:
        fill(args.document, tables)
    return 0


def _measure(groups: Sequence[Group], estimator: Estimator) -> Measured:
    measured = Measured({}, {})
    for group in groups:
        name = group.frame_set.name, group.prompt
        result, deciles = GroupResult(group), []
        for scored in run_group(group, estimator):
            result.add(scored)
            deciles.append(
                _error_by_confidence(
                    scored.estimate.depth, scored.estimate.confidence, scored.ground_truth
                )
            )
        metrics = result.summary(Aggregation.PER_IMAGE)['metrics']
        assert isinstance(metrics, Mapping)
        measured.metrics[name] = metrics
        measured.deciles[name] = [float(x) for x in np.mean(deciles, axis=0)]
        print('/'.join(name), estimator.name, f'{metrics["abs_rel"]:.4f}', file=sys.stderr)
    return measured


def _error_by_confidence(
    depth: NDArray[np.float32],
    confidence: NDArray[np.float32] | None,
    truth: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return the (DECILES,) mean relative errors, least confident pixels first."""
    if confidence is None:
        return np.full(DECILES, np.nan)
    known = np.isfinite(truth) & np.isfinite(depth)
    error = np.abs(depth[known] - truth[known]) / truth[known]
    parts = np.array_split(error[np.argsort(confidence[known], kind='stable')], DECILES)
    return np.array([part.mean() if part.size else np.nan for part in parts], np.float64)


def _best_baselines(path: Path) -> dict[GroupName, tuple[float, float]]:
    """Return AbsRel and RMSE of the best baseline of each, by group."""
    best: dict[GroupName, tuple[float, float]] = {}
    for row in json.loads(path.read_text('utf-8')):
        if not row.get('empty_images'):
            abs_rel, _, rmse, _ = row['all']
            known = best.get((row['set'], row['prompt']), (math.inf, math.inf))
            best[row['set'], row['prompt']] = min(known[0], abs_rel), min(known[1], rmse)
    return best


def _ratios(
    measured: Measured, best: Mapping[GroupName, tuple[float, float]]
) -> dict[str, tuple[float, float, float]]:
    """Return, by group, both ratios and AbsRel itself."""
    return {
        '/'.join(name): (
            metrics['abs_rel'] / best[name][0],
            metrics['rmse_m'] / best[name][1],
            metrics['abs_rel'],
        )
        for name, metrics in measured.metrics.items()
        if name in best
    }


def _contours(
    sets: Sequence[FrameSet], estimators: Sequence[Estimator]
) -> dict[str, dict[str, float]]:
    """Return boundary F1 by group, where the ground truth is dense, and by estimator."""
    table: dict[str, dict[str, float]] = {}
    for group in find_groups(sets):
        truths = [recorded.ground_truth for recorded in group.frames]
        if any(truth is None or truth.kind not in KINDS_WITH_BOUNDARIES for truth in truths):
            continue
        for estimator in estimators:
            scores = [scored.score.boundary_f1 for scored in run_group(group, estimator)]
            name = f'{group.frame_set.name}/{group.prompt}'
            table.setdefault(name, {})[estimator.name] = float(np.nanmean(scores))
    return table


def _cost_of_outliers(sets: Sequence[FrameSet], estimator: Estimator) -> dict[str, list[float]]:
    """Return AbsRel with clean and with replaced points, by group whose prompt is a LiDAR's."""
    costs = {}
    for group in find_groups(sets):
        if 'lidar' not in group.prompt:
            continue
        pairs = []
        for number, recorded in enumerate(group.frames):
            frame, truth = recorded.load_frame(group.prompt), recorded.load_ground_truth()
            assert frame.prompt is not None
            wrong = misplace(frame.prompt, OUTLIERS, np.random.default_rng(number))
            known = np.isfinite(truth)
            pairs.append(
                [
                    float((np.abs(estimator.estimate(f).depth - truth) / truth)[known].mean())
                    for f in (frame, replace(frame, prompt=wrong))
                ]
            )
        costs[f'{group.frame_set.name}/{group.prompt}'] = [
            float(mean) for mean in np.mean(pairs, axis=0)
        ]
    return costs


def _errors_of_points(sets: Sequence[FrameSet]) -> dict[str, list[float]]:
    """Return, by group, what the truth says of the points in its own pixels.

    That is the share of the true pixels that have a point, and there its AbsRel and how often it
    is farther and nearer than the truth by more than `APART`.
    """
    errors = {}
    for group in find_groups(sets):
        rows = []
        for recorded in group.frames:
            frame, truth = recorded.load_frame(group.prompt), recorded.load_ground_truth()
            assert frame.prompt is not None
            known = np.isfinite(truth)
            off = (frame.prompt.to_map(recorded.width, recorded.height) - truth) / truth
            off = off[known & np.isfinite(off)]
            if off.size / known.sum() >= COVERED:
                rows.append(
                    [
                        off.size / known.sum(),
                        np.abs(off).mean(),
                        np.mean(off > APART),
                        np.mean(off < -APART),
                    ]
                )
        if rows:
            means = [float(mean) for mean in np.mean(rows, axis=0)]
            errors[f'{group.frame_set.name}/{group.prompt}'] = means
    return errors


def _write_pictures(path: Path, sets: Sequence[FrameSet], estimators: Sequence[Estimator]) -> None:
    """Write image, prompt and each estimator's depth of frames that have no ground truth."""
    cells = []
    for frame_set in sets:
        if frame_set.name != LOOKED_AT[0]:
            continue
        for recorded in frame_set.frames:
            frame = recorded.load_frame(LOOKED_AT[1])
            assert frame.prompt is not None
            points = frame.prompt.to_map(recorded.width, recorded.height)
            limits = depth_range(points)
            depths = [points, *(estimator.estimate(frame).depth for estimator in estimators)]
            cells += [frame.image, *(colorize_depth(depth, limits) for depth in depths)]
    if cells:
        height = max(1, round(_CELL_PX * cells[0].shape[0] / cells[0].shape[1]))
        small = [cv2.resize(c, (_CELL_PX, height), interpolation=cv2.INTER_AREA) for c in cells]
        sheet = side_by_side(small, 2 + len(estimators))
        cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _ratio_table(
    ratios: Mapping[str, Mapping[str, tuple[float, float, float]]],
) -> Iterator[str]:
    names = list(ratios)
    titles = [f'{figure}, `{name}`' for figure in ('AbsRel', 'RMSE') for name in names]
    yield '| frames / prompt | ' + ' | '.join(titles) + ' |'
    yield '|---|' + '---:|' * len(titles)
    for group in ratios[names[0]]:
        cells = [f'{ratios[name][group][k]:.2f}' for k in (0, 1) for name in names]
        yield f'| {group.replace("/", " / ")} | ' + ' | '.join(cells) + ' |'
    means = [
        geometric_mean([row[k] for row in ratios[name].values()]) for k in (0, 1) for name in names
    ]
    yield '| **geometric mean** | ' + ' | '.join(f'**{mean:.3f}**' for mean in means) + ' |'


def _contour_table(contours: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    names = list(next(iter(contours.values()), {}))
    yield '| frames / prompt | ' + ' | '.join(f'`{name}`' for name in names) + ' |'
    yield '|---|' + '---:|' * len(names)
    for group, row in contours.items():
        cells = [f'{row[name]:.3f}' for name in names]
        yield f'| {group.replace("/", " / ")} | ' + ' | '.join(cells) + ' |'


def _outlier_table(costs: Mapping[str, Mapping[str, Sequence[float]]]) -> Iterator[str]:
    yield '| frames / prompt | ' + ' | '.join(f'`{name}`' for name in costs) + ' |'
    yield '|---|' + '---:|' * len(costs)
    for group in next(iter(costs.values())):
        cells = [
            f'{clean:.4f} → {wrong:.4f} ({wrong / clean - 1.0:+.0%})'
            for clean, wrong in (found[group] for found in costs.values())
        ]
        yield f'| {group.replace("/", " / ")} | ' + ' | '.join(cells) + ' |'


def _decile_table(deciles: Mapping[str, Sequence[float]]) -> Iterator[str]:
    yield '| frames / prompt | ' + ' | '.join(f'{10 * k + 10} %' for k in range(DECILES)) + ' |'
    yield '|---|' + '---:|' * DECILES
    for group, row in deciles.items():
        cells = [f'{value:.4f}' for value in row]
        yield f'| {group.replace("/", " / ")} | ' + ' | '.join(cells) + ' |'
    mean = np.nanmean(list(deciles.values()), axis=0)
    yield '| **mean** | ' + ' | '.join(f'**{value:.4f}**' for value in mean) + ' |'


def _point_table(points: Mapping[str, Sequence[float]]) -> Iterator[str]:
    yield '| frames / prompt | true pixels with a point | AbsRel there | farther | nearer |'
    yield '|---|' + '---:|' * 4
    for group, (covered, abs_rel, farther, nearer) in points.items():
        cells = [f'{covered:.0%}', f'{abs_rel:.4f}', f'{farther:.1%}', f'{nearer:.1%}']
        yield f'| {group.replace("/", " / ")} | ' + ' | '.join(cells) + ' |'


if __name__ == '__main__':
    sys.exit(main())
