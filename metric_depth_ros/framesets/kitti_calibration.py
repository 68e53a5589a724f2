# SPDX-License-Identifier: Apache-2.0
"""Text files that KITTI's calibrations lie in. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def kitti_entries(text: str) -> dict[str, NDArray[np.float64]]:
    """Return the lines ``NAME: NUMBERS`` by name; others, such as calib_time, are left out."""
    entries = {}
    for line in text.splitlines():
        name, _, values = line.partition(':')
        try:
            entries[name.strip()] = np.array([float(v) for v in values.split()])
        except ValueError:
            continue
    return entries
