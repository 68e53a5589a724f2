# SPDX-License-Identifier: Apache-2.0
"""Depth-completion figures as OMNI-DC computes them, for comparison with published numbers.

Source: Zuo et al., "OMNI-DC" (ICCV 2025), reference code ``dcmetric.py``; the KITTI depth
completion benchmark uses the same figures in mm and 1/km. Unlike our own `metrics`, a prediction
that is not finite makes the figures NaN, and no ground truth makes them 0. NumPy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatMap = NDArray[np.floating]

_EPSILON = 1e-8
_SMALLEST_M = 1e-4  # ground truth and predictions up to it count as none
_DELTA_RATIOS = {
    'delta1': 1.25,
    'delta2': 1.25**2,
    'delta3': 1.25**3,
    'delta_1.02': 1.02,
    'delta_1.05': 1.05,
    'delta_1.10': 1.10,
}


def completion_metrics(prediction: FloatMap, ground_truth: FloatMap) -> dict[str, float]:
    """Return the depth-completion figures of one image; a batch is pooled over its pixels.

    Parameters
    ----------
    prediction, ground_truth
        Meters, same shape; ground truth of 0 is none.

    Returns
    -------
    dict
        ``rmse_m``, ``mae_m`` meters; ``irmse``, ``imae`` 1/m (1/km: times 1000), with the inverse
        of a prediction up to 1e-4 m taken as 0; ``abs_rel``; ``delta1..3``, ``delta_1.02``,
        ``delta_1.05``, ``delta_1.10``.
    """
    valid = ground_truth > _SMALLEST_M
    count = valid.sum() + _EPSILON
    d = ground_truth[valid].astype(np.float64)
    p = prediction[valid].astype(np.float64)
    with np.errstate(divide='ignore', invalid='ignore'):
        inverse_p = np.where(p <= _SMALLEST_M, 0.0, 1.0 / (p + _EPSILON))
        inverse_error = np.abs(inverse_p - 1.0 / (d + _EPSILON))
        ratio = np.maximum(d / (p + _EPSILON), p / (d + _EPSILON))
        error = np.abs(p - d)
    return {
        'rmse_m': float(np.sqrt((error**2).sum() / count)),
        'mae_m': float(error.sum() / count),
        'irmse': float(np.sqrt((inverse_error**2).sum() / count)),
        'imae': float(inverse_error.sum() / count),
        'abs_rel': float((error / (d + _EPSILON)).sum() / count),
        **{name: float((ratio < limit).sum() / count) for name, limit in _DELTA_RATIOS.items()},
    }
