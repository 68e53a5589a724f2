# SPDX-License-Identifier: Apache-2.0
"""The benchmarks there are, by name. A module is imported when its benchmark is asked for."""

from __future__ import annotations

from importlib import import_module

from metric_depth_ros.errors import InputError
from metric_depth_ros.evaluation.benchmarks.protocol import Benchmark

NAMES = (
    'nyu',
    'kitti_dc',
    'kitti_eigen',
    'eth3d',
    'diode',
    'ibims',
    'sun',
    'nuscenes',
    'nuscenes_radar',
    'booster',
    'middlebury',
    'sintel',
    'depthlm',
    'depthvlm',
)


def benchmark(name: str) -> Benchmark:
    """Return a benchmark.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in NAMES:
        raise InputError(
            'benchmark', f'there is no benchmark {name!r}: expected one of {", ".join(NAMES)}.'
        )
    found: Benchmark = import_module(f'{__package__}.{name}').BENCHMARK
    return found
