# SPDX-License-Identifier: Apache-2.0
"""What a result says of the estimator that made it. Options of estimators only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.provenance import Provenance


def describe_estimator(options: EstimatorOptions, provenance: Provenance) -> dict[str, Any]:
    """Return device, options and weights; the device as asked where no network told of one."""
    return {
        'device': ', '.join(sorted(provenance.devices)) or options.device,
        'options': asdict(options),
        'weights': dict(provenance.weights),
    }


def estimator_sentence(result: Mapping[str, Any]) -> str:
    """Return the same, out of a result that has the name of the estimator too, for people."""
    options = ', '.join(f'{name} {value}' for name, value in result['options'].items() if value)
    weights = ', '.join(f'{name} {identity}' for name, identity in result['weights'].items())
    return (
        f'Estimator {result["estimator"]} on {result["device"]}; options: {options}; weights: '
        f'{weights or "none"}.'
    )
