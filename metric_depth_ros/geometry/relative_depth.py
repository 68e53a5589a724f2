# SPDX-License-Identifier: Apache-2.0
"""Inverse depth between 0 and 1, by the percentiles of its image. NumPy only.

Policies that read depth as tokens are told the shape of a scene, not its size; the size travels
beside it as two numbers. Source: MetricAnything (2026), depth tokens: 5th to 95th percentile. The
paper does not say whether of depth or of its inverse: the inverse, as MolmoAct has it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (5.0, 95.0)


class NormalizedInverseDepth(NamedTuple):
    """Normalized inverse depth.

    Attributes
    ----------
    image
        (H, W) float32: 0 at the far percentile and beyond, and where depth is unknown; 1 at the
        near one and before. All 0 where both are the same.
    low, high
        Inverse depth at 0 and at 1, 1/m.
    """

    image: NDArray[np.float32]
    low: float
    high: float


def normalized_inverse_depth(depth: NDArray[np.float32]) -> NormalizedInverseDepth:
    """Normalize depth (H, W) in meters; +Inf is infinitely far, NaN and not positive unknown."""
    with np.errstate(invalid='ignore', divide='ignore'):
        known = depth > 0.0
        inverse = np.where(known, np.float32(1.0) / depth, np.float32(0.0))
    if not known.any():
        return NormalizedInverseDepth(np.zeros(depth.shape, np.float32), 0.0, 0.0)
    low, high = (float(p) for p in np.percentile(inverse[known], PERCENTILES))
    if high <= low:
        return NormalizedInverseDepth(np.zeros(depth.shape, np.float32), low, high)
    scaled = np.clip((inverse - low) / (high - low), 0.0, 1.0).astype(np.float32)
    return NormalizedInverseDepth(np.where(known, scaled, np.float32(0.0)), low, high)


def depth_of(image: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Return the depth (H, W) in meters of a normalized image; +Inf where its inverse is 0."""
    inverse = low + (high - low) * image
    with np.errstate(divide='ignore'):
        return np.where(inverse > 0.0, 1.0 / inverse, np.inf).astype(np.float32)
