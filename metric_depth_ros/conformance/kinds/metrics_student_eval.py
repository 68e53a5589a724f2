# SPDX-License-Identifier: Apache-2.0
"""Goldens of the metrics that MetricAnything's students are scored with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from metric_depth_ros.conformance.golden import Check, Golden, compare, not_computed
from metric_depth_ros.evaluation.metrics import Aggregation, aggregate, error_sums

# Their names -> names here, where they differ.
_NAMES = {'d1': 'delta1', 'd2': 'delta2', 'd3': 'delta3', 'rmse': 'rmse_m', 'mae': 'mae_m'}


def matches(golden: Golden) -> bool:
    """Whether the golden is of the students' metrics."""
    return {'silog', 'sq_rel', 'd1'} <= set(golden.config.get('keys', ()))


def checks(golden: Golden) -> Iterator[Check]:
    """Score all maps, their pooled pixels, and their mean."""
    tolerance = golden.tolerance('tolerance', 'rtol')
    names = [_NAMES.get(key, key) for key in golden.config['keys']]
    images = {
        key: error_sums(*(golden.inputs[f'{key}_{part}'] for part in ('pred', 'gt', 'mask')))
        for key in golden.outputs
        if f'{key}_pred' in golden.inputs
    }
    pooled = aggregate(list(images.values()), Aggregation.POOLED)
    computed = {
        **{key: image.metrics() for key, image in images.items()},
        'pooled': pooled,
        'pooled_float64': pooled,
        'mean_of_images': aggregate(list(images.values()), Aggregation.PER_IMAGE),
    }
    for key, reference in golden.outputs.items():
        if key not in computed:
            yield not_computed(key, 'metrics')
            continue
        metrics = np.array([computed[key][name] for name in names])
        yield compare(key, 'metrics', metrics, reference, tolerance)
