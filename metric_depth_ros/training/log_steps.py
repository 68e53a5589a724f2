# SPDX-License-Identifier: Apache-2.0
"""Lengths as 16-bit steps of their logarithm, for storage. NumPy only.

From 0.1 mm to 10 km in 65,534 steps: no length is off by more than 0.015 %, near or far, which
neither 16-bit millimeters nor half floats can say. 0 is unknown (NaN), 65535 is endless (+Inf).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SHORTEST_M, _LONGEST_M = 1e-4, 1e4
_UNKNOWN, _ENDLESS = 0, 65535
_PER_STEP = np.log(_LONGEST_M / _SHORTEST_M) / (_ENDLESS - 2)


def encode(lengths_m: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Return the steps of positive lengths; NaN is unknown, +Inf endless."""
    with np.errstate(invalid='ignore', divide='ignore'):
        steps = np.rint(np.log(np.asarray(lengths_m, np.float64) / _SHORTEST_M) / _PER_STEP) + 1
        limited = np.clip(np.nan_to_num(steps, nan=0.0), 1, _ENDLESS - 1).astype(np.uint16)
    limited[np.isnan(lengths_m)] = _UNKNOWN
    limited[np.isposinf(lengths_m)] = _ENDLESS
    return limited


def decode(steps: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the lengths in meters."""
    return _TABLE[steps]


def _table() -> NDArray[np.float32]:
    lengths = _SHORTEST_M * np.exp(_PER_STEP * (np.arange(_ENDLESS + 1, dtype=np.float64) - 1))
    lengths[_UNKNOWN], lengths[_ENDLESS] = np.nan, np.inf
    return lengths.astype(np.float32)


_TABLE = _table()
