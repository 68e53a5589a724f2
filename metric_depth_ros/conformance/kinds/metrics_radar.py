# SPDX-License-Identifier: Apache-2.0
"""Goldens of the metrics of radar-camera depth."""

from __future__ import annotations

from collections.abc import Iterator

from metric_depth_ros.conformance.golden import Check, Golden, compare, not_computed
from metric_depth_ros.evaluation.metrics import aggregate_per_image
from metric_depth_ros.evaluation.radar_protocol import CAPS_M, radar_metrics


def matches(golden: Golden) -> bool:
    """Whether the golden is of radar metrics."""
    return 'caps' in golden.config and golden.config.get('order') == [
        'mae',
        'rmse',
        'imae',
        'irmse',
    ]


def checks(golden: Golden) -> Iterator[Check]:
    """Score all maps with all caps, and their mean."""
    tolerance = golden.tolerance('tolerance', 'rtol')
    cases = [f'case{index}' for index in range(len(golden.config['cases']))]
    per_case = {
        case: [
            radar_metrics(golden.inputs[f'{case}_pred'], golden.inputs[f'{case}_gt'], cap)
            for cap in CAPS_M
        ]
        for case in cases
    }
    computed = {
        case: [list(metrics.values()) for metrics in figures] for case, figures in per_case.items()
    }
    computed['dataset_mean'] = [
        list(aggregate_per_image(images).values())
        for images in zip(*per_case.values(), strict=True)
    ]
    for key, reference in golden.outputs.items():
        if key in computed:
            yield compare(key, 'metrics', computed[key], reference, tolerance)
        else:
            yield not_computed(key, 'metrics')
