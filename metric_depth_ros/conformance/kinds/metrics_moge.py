# SPDX-License-Identifier: Apache-2.0
"""Goldens of MoGe's metrics of depth, points, field of view and boundaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from metric_depth_ros.conformance.golden import (
    Check,
    Golden,
    Tolerance,
    compare,
    not_computed,
)
from metric_depth_ros.evaluation.moge_protocol import PointMap, moge_boundary_f1, moge_metrics

_RADII = (1, 2, 3)


def matches(golden: Golden) -> bool:
    """Whether the golden is of MoGe's metrics."""
    return 'case0_disparity_affine_invariant.rel' in golden.outputs


def checks(golden: Golden) -> Iterator[Check]:
    """Score all pairs of point maps."""
    stated = golden.config['tolerance']
    for index in range(len(golden.config['cases'])):
        name = f'case{index}'
        computed = _scores(golden, name)
        for key, reference in golden.expected(name).items():
            if key in computed:
                yield compare(name, key, computed[key], reference, _tolerance(key, stated))
            else:
                yield not_computed(name, key)


def _scores(golden: Golden, name: str) -> dict[str, float]:
    prediction, ground_truth = (
        PointMap(*(golden.inputs[f'{name}_{side}_{part}'] for part in ('depth', 'points', 'K')))
        for side in ('pred', 'gt')
    )
    mask = golden.inputs[f'{name}_mask']
    scores = {
        f'{group}.{key}': value
        for group, values in moge_metrics(prediction, ground_truth, mask).items()
        for key, value in values.items()
    }
    for radius in _RADII:
        scores[f'boundary_unaligned_r{radius}'] = moge_boundary_f1(
            prediction.depth, ground_truth.depth, mask, radius
        )
    return scores


def _tolerance(key: str, stated: Mapping[str, float]) -> Tolerance:
    group, _, figure = key.partition('.')
    if group.startswith('boundary'):
        return Tolerance(atol=stated['boundary_atol'])
    if figure.startswith('delta'):
        return Tolerance(atol=stated['delta_atol'])
    if group in ('depth_metric', 'fov_x'):
        return Tolerance(rtol=stated['metric_depth_rtol'])
    return Tolerance(rtol=stated['rel_rtol'])
