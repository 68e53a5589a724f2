# SPDX-License-Identifier: Apache-2.0
"""Goldens of MoGe's recovery of focal length and shift from a point map.

A result may agree with what the authors' solver returned or with the value it converges to. The
authors' other variant, in NumPy, ignores its mask; what goldens store of it is not compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.conformance.golden import (
    Check,
    Golden,
    Tolerance,
    compare,
    not_computed,
)

if TYPE_CHECKING:
    from torch import Tensor


def matches(golden: Golden) -> bool:
    """Whether the golden is of MoGe's solver."""
    return {'case0_focal_converged', 'case0_shift_converged'} <= golden.outputs.keys()


def checks(golden: Golden) -> Iterator[Check]:
    """Solve single maps and the batch, with and without a known focal length."""
    for index, case in enumerate(golden.config['cases']):
        known = [case['true_focal_rel']] if case['known_focal'] else None
        yield from _check(golden, f'case{index}', known)
    if 'batch_points' in golden.inputs:
        yield from _check(golden, 'batch', None)
        known = golden.inputs['batch_known_focal'].tolist()
        yield from _check(golden, 'batch', known, prefix='known_')


def _check(
    golden: Golden, case: str, known: list[float] | None, prefix: str = ''
) -> Iterator[Check]:
    focal, shift = _solve(golden, case, known)
    rtol = golden.config['tolerance']['focal_rtol']
    atol = _share_of_median_depth(golden) * _median_depth(golden, case)
    stored = golden.expected(case)
    for name, value, tolerance in (
        ('focal', focal, Tolerance(rtol=rtol)),
        ('shift', shift, Tolerance(atol=atol)),
    ):
        key = 'known_focal_out' if (name, prefix) == ('focal', 'known_') else prefix + name
        if key not in stored:
            yield not_computed(case, key)
            continue
        either = [stored[key], *(stored[k] for k in (f'{key}_converged',) if k in stored)]
        attempts = [compare(case, key, value.reshape(one.shape), one, tolerance) for one in either]
        yield min(attempts, key=lambda check: check.error)


def _solve(golden: Golden, case: str, known: list[float] | None) -> tuple[NDArray[Any], ...]:
    import torch

    from metric_depth_ros.networks.focal_shift import recover_focal_shift

    def batch(name: str) -> Tensor | None:
        array = golden.inputs.get(f'{case}_{name}')
        if array is None:
            return None
        tensor = torch.from_numpy(array)
        return tensor if case == 'batch' else tensor[None]

    points = batch('points')
    if points is None:
        raise KeyError(f'{golden.folder} has no {case}_points')
    focal = None if known is None else torch.tensor(known)
    solved = recover_focal_shift(points, batch('mask'), focal)
    return solved.focal.numpy(), solved.shift.numpy()


def _median_depth(golden: Golden, case: str) -> float:
    z = golden.inputs[f'{case}_points'][..., 2]
    mask = golden.inputs.get(f'{case}_mask')
    z = z if mask is None or not mask.any() else z[mask]
    return float(np.median(z[np.isfinite(z)]))


def _share_of_median_depth(golden: Golden) -> float:
    share, _, of = str(golden.config['tolerance']['shift_atol']).partition('*')
    if of != 'median(z)':
        raise ValueError(f'{golden.folder}: the tolerance of the shift is not of median(z)')
    return float(share)
