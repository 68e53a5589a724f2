# SPDX-License-Identifier: Apache-2.0
"""What the goldens of Student-DepthMap and Depth Pro networks have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.conformance.golden import (
    Check,
    Golden,
    Tolerance,
    compare,
    not_computed,
)
from metric_depth_ros.errors import InputError

SAMPLED_CROPS = (0, 7, 24, 25, 30, 34)
SAMPLED_TOKENS = slice(None, None, 37)
GRID_POINTS = 24


def check_case(golden: Golden, case: str, computed: Mapping[str, Any]) -> Iterator[Check]:
    """Hold all stored quantities of a case against the computed ones.

    Parameters
    ----------
    golden
        Where they are stored.
    case
        Its name.
    computed
        Quantity -> whole tensor, under the stored names.
    """
    for quantity, reference in golden.expected(case).items():
        label = quantity.removeprefix('i_')
        if label not in computed:
            yield not_computed(case, quantity)
            continue
        value = computed[label].float().numpy()
        if quantity == 'depth':
            # Depth is ill-conditioned where inverse depth is near its clamp.
            tolerance = _inverse_depth_tolerance(golden)
            value = value.reshape(reference.shape)
            yield compare(case, 'inverse depth', 1 / value, 1 / reference, tolerance)
        elif quantity.startswith('i_'):
            tolerance = golden.tolerance('tolerances', 'intermediate')
            yield compare(case, label, _sampled(label, value, reference), reference, tolerance)
        else:
            tolerance = golden.tolerance('tolerances', quantity)
            yield compare(case, label, value.reshape(reference.shape), reference, tolerance)


def refuse_other_networks(golden: Golden, expected: Mapping[str, Any]) -> None:
    """Refuse an architecture that the networks of this package do not have.

    Raises
    ------
    InputError
        `golden_file` naming what differs from `expected`.
    """
    config = golden.config['config']
    different = {
        key: config[key] for key, value in expected.items() if config.get(key, value) != value
    }
    if different:
        raise InputError(
            'golden_file', f'{golden.folder} has a network that is not supported: {different}.'
        )


def _sampled(
    quantity: str, value: NDArray[np.float32], reference: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the part of an intermediate that goldens store."""
    if quantity.startswith('tap') or quantity == 'vit_out':
        return value[list(SAMPLED_CROPS)][:, SAMPLED_TOKENS]
    if quantity.endswith('vit_out'):
        return value[: len(reference), SAMPLED_TOKENS]
    step = max(1, value.shape[-1] // GRID_POINTS)
    return value[: len(reference), : reference.shape[1], ::step, ::step]


def _inverse_depth_tolerance(golden: Golden) -> Tolerance:
    """Read ``'|1/d - 1/d_ref| <= 1e-4 (plus 1e-4 relative)'`` and what `Tolerance` reads."""
    text = str(golden.config.get('tolerances', {}).get('depth', ''))
    found = re.search(r'<= ([\d.e-]+) \(plus ([\d.e-]+) relative\)', text)
    if found is None:
        return golden.tolerance('tolerances', 'depth')
    return Tolerance(atol=float(found[1]), rtol=float(found[2]))
