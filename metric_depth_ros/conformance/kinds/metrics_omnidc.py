# SPDX-License-Identifier: Apache-2.0
"""Goldens of OMNI-DC's completion metrics."""

from __future__ import annotations

from collections.abc import Iterator

from metric_depth_ros.conformance.golden import Check, Golden, compare, not_computed
from metric_depth_ros.evaluation.completion_protocol import completion_metrics


def matches(golden: Golden) -> bool:
    """Whether the golden is of OMNI-DC's metrics."""
    return 'D102' in golden.config.get('keys', ())


def checks(golden: Golden) -> Iterator[Check]:
    """Score all maps, and the batch whose pixels are pooled."""
    tolerance = golden.tolerance('tolerance', 'rtol')
    for key, reference in golden.outputs.items():
        case = key.removesuffix('_pooled')
        if f'{case}_pred' not in golden.inputs:
            yield not_computed(key, 'metrics')
            continue
        metrics = completion_metrics(golden.inputs[f'{case}_pred'], golden.inputs[f'{case}_gt'])
        yield compare(case, 'metrics', list(metrics.values()), reference, tolerance)
