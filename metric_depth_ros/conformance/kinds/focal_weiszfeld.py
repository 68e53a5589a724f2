# SPDX-License-Identifier: Apache-2.0
"""Goldens of the focal length by Weiszfeld's algorithm (MetricAnything, Eq. 6).

The authors' ten and hundred steps from least squares, DUSt3R's ten, the exact minimizer, and
the focal length that the points were made with.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from metric_depth_ros.conformance.golden import Check, Golden, Tolerance, compare
from metric_depth_ros.geometry.focal import observations, recover_focal, weiszfeld


def matches(golden: Golden) -> bool:
    """Whether the golden is of Weiszfeld's algorithm."""
    return {'case0_f_exact', 'case0_f_irls10'} <= golden.outputs.keys()


def checks(golden: Golden) -> Iterator[Check]:
    """Recover the focal length of every case."""
    limits = golden.config['tolerance']
    for index, settings in enumerate(golden.config['cases']):
        case = f'case{index}'
        points, mask = golden.inputs[f'{case}_points'], golden.inputs[f'{case}_mask']
        stored = {name: float(value) for name, value in golden.expected(case).items()}
        pixels, slopes = observations(points, mask)
        least_squares = float((pixels * slopes).sum() / np.square(slopes).sum())
        converged = recover_focal(points, mask).focal_px
        steps = {
            count: weiszfeld(pixels, slopes, start=least_squares, max_iterations=count).focal_px
            for count in (10, 100)
        }
        truth_rtol = limits['true_rtol_clean']
        if settings['outliers'] or settings['noise_xy']:
            truth_rtol = abs(stored['f_exact'] / stored['f_true'] - 1.0) + 1e-3
        compared = {
            'f_exact': (converged, limits['exact_rtol']),
            'f_true': (converged, truth_rtol),
            'f_l2': (least_squares, limits['irls10_rtol']),
            'f_irls10': (steps[10], limits['irls10_rtol']),
            'f_irls100': (steps[100], limits['irls100_rtol']),
            'f_dust3r': (steps[10], limits['dust3r_vs_irls10_rtol']),
        }
        for name, (value, rtol) in compared.items():
            if name in stored:
                yield compare(case, name, value, stored[name], Tolerance(rtol=rtol))
