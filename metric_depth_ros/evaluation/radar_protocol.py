# SPDX-License-Identifier: Apache-2.0
"""Radar-camera depth figures on nuScenes as the field publishes them. NumPy only.

Source: Singh et al., "Depth Estimation from Camera Image and mmWave Radar Point Cloud" (CVPR
2023), reference code. Predictions are taken as they are: 0 makes the inverse figures infinite.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatMap = NDArray[np.floating]

CAPS_M = (50.0, 70.0, 80.0)


def radar_metrics(prediction: FloatMap, ground_truth: FloatMap, cap_m: float) -> dict[str, float]:
    """Return the figures of one image over ground truth between 0 and a cap, both excluded.

    Parameters
    ----------
    prediction, ground_truth
        Meters, same shape; ground truth of 0 is none.
    cap_m
        One of `CAPS_M` in published tables.

    Returns
    -------
    dict
        ``mae_mm``, ``rmse_mm`` millimeters; ``imae_per_km``, ``irmse_per_km``. NaN without ground
        truth; a data set's figure is the mean over its images.
    """
    valid = (ground_truth > 0.0) & (ground_truth < cap_m)
    names = ('mae_mm', 'rmse_mm', 'imae_per_km', 'irmse_per_km')
    if not valid.any():
        return dict.fromkeys(names, float('nan'))
    d = ground_truth[valid].astype(np.float64)
    p = prediction[valid].astype(np.float64)
    error_mm = 1e3 * np.abs(p - d)
    with np.errstate(divide='ignore', invalid='ignore'):
        inverse_error = np.abs(1e3 / p - 1e3 / d)
    values = (
        error_mm.mean(),
        np.sqrt((error_mm**2).mean()),
        inverse_error.mean(),
        np.sqrt((inverse_error**2).mean()),
    )
    return dict(zip(names, map(float, values), strict=True))
