# SPDX-License-Identifier: Apache-2.0
"""Goldens of the losses of teacher and student, and of their gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from metric_depth_ros.conformance.golden import (
    Check,
    Golden,
    Tolerance,
    compare,
    compare_case,
    count_differences,
)

if TYPE_CHECKING:
    from torch import Tensor

# Variants of the gradient loss -> how they differ.
_VARIANTS = {
    'mage_mean_lower': {'lower': True},
    'mage_median_avg': {'median_deviation': True},
    'mage_median_lower': {'median_deviation': True, 'lower': True},
}
_COUNTS = ('robust_k', 'i_mage_counts')


def matches(golden: Golden) -> bool:
    """Whether the golden is of the losses."""
    return {'robust_mae', 'ssi_mage', 'distance_balanced'} <= golden.config.keys()


def checks(golden: Golden) -> Iterator[Check]:
    """Compute all losses of all cases in double precision, as the golden did."""
    stated = golden.config['tolerance']
    tolerance = Tolerance(atol=1e-12, rtol=stated['float64_rtol'])
    stored_as_float32 = Tolerance(atol=1e-7, rtol=stated['grad_rtol'])
    for index in range(len(golden.config['cases'])):
        case = f'case{index}'
        computed = {name: tensor.numpy() for name, tensor in _computed(golden, case).items()}
        expected = golden.expected(case)
        in_float32 = [name for name, value in expected.items() if value.dtype == 'float32']
        for name in in_float32:
            yield compare(case, name, computed[name], expected[name], stored_as_float32)
        for name in _COUNTS:
            yield count_differences(case, name, computed[name], expected[name])
        yield from compare_case(
            golden, case, computed, tolerance, compared=(*in_float32, *_COUNTS)
        )


def _computed(golden: Golden, case: str) -> dict[str, Tensor]:
    import torch

    from metric_depth_ros.training import gradient_loss, losses

    predicted_m, truth_m = (
        torch.from_numpy(golden.inputs[f'{case}_{side}_depth']).double() for side in ('pred', 'gt')
    )
    mask = torch.from_numpy(golden.inputs[f'{case}_mask'])
    predicted_m.requires_grad_()
    predicted = (1.0 / predicted_m.detach()).requires_grad_()
    truth = 1.0 / truth_m
    robust = losses.robust_absolute_error(predicted, truth, mask)
    balanced = losses.distance_balanced(predicted_m, truth_m, mask)
    spreads = [gradient_loss.spread(values, mask) for values in (predicted, truth)]
    maps = [
        gradient_loss.normalized(values, mask, of)
        for values, of in zip((predicted, truth), spreads, strict=True)
    ]
    scales = gradient_loss.scale_errors(maps[0] - maps[1], mask)
    computed = {
        'robust_mae': robust,
        'robust_k': losses.kept_count(mask.flatten(1).sum(1)),
        'plain_mae': losses.absolute_error(predicted, truth, mask),
        'grad_robust_mae': torch.autograd.grad(robust.sum(), predicted)[0],
        'mage': gradient_loss.ssi_mage(predicted, truth, mask),
        'i_mage_scales': scales.values,
        'i_mage_counts': scales.counts,
        'i_stats': torch.stack([part for of in spreads for part in of], 1),
        'i_norm_pred': maps[0],
        'distance_balanced': balanced,
        'grad_distance_balanced_depth': torch.autograd.grad(balanced.sum(), predicted_m)[0],
        'mage_dlog': gradient_loss.ssi_mage(
            losses.log_distance(predicted_m), losses.log_distance(truth_m), mask
        ),
        'student_total': losses.student_loss(predicted_m, truth_m, mask),
        'teacher_synthetic': losses.teacher_loss(predicted, truth, mask, real=False),
        'teacher_real': losses.teacher_loss(predicted, truth, mask, real=True),
    }
    for name, how in _VARIANTS.items():
        computed[name] = gradient_loss.ssi_mage(predicted, truth, mask, **how)
    return {name: tensor.detach() for name, tensor in computed.items()}
