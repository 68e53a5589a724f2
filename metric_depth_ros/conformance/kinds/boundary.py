# SPDX-License-Identifier: Apache-2.0
"""Goldens of Depth Pro's boundary scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metric_depth_ros.conformance.golden import (
    Check,
    Golden,
    Tolerance,
    compare_case,
    count_differences,
)
from metric_depth_ros.evaluation.boundary import boundary_f1, boundary_recall


def matches(golden: Golden) -> bool:
    """Whether the golden is of boundary scores."""
    return 'SI_boundary_F1' in golden.config.get('functions', {})


def checks(golden: Golden) -> Iterator[Check]:
    """Score all pairs of depth maps, and of depth maps and mattes."""
    tolerance = Tolerance(atol=golden.config['tolerance']['atol'])
    for index in range(len(golden.config['cases'])):
        name = f'case{index}'
        score = boundary_f1(golden.inputs[f'{name}_pred'], golden.inputs[f'{name}_gt'])
        yield count_differences(name, 'counts', score.counts, golden.outputs[f'{name}_counts'])
        computed: dict[str, Any] = {
            'f1': score.f1,
            'f1_t': score.f1_at,
            'p_t': score.precision_at,
            'r_t': score.recall_at,
        }
        yield from compare_case(golden, name, computed, tolerance, compared=('counts',))
    for index in range(len(golden.config['recall_cases'])):
        name = f'recall{index}'
        value, at = boundary_recall(golden.inputs[f'{name}_pred'], golden.inputs[f'{name}_alpha'])
        yield from compare_case(golden, name, {'value': value, 't': at}, tolerance)
