# SPDX-License-Identifier: Apache-2.0
"""Which pixels the cells of a grid have along one axis. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cell_windows(side: int, cells: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the pixels of every cell's window along one axis, and their distances to its center.

    Windows start at rounded positions and may overlap, as in the release that MoGe pins.

    Parameters
    ----------
    side
        Pixels along the axis.
    cells
        Cells along it; of more cells than pixels, some stand on the same pixel.

    Returns
    -------
    tuple
        (cells, n) pixels, and the signed distances in pixels of their centers. What of a window
        lies beyond the border is given as the pixel at the border, infinitely far away.
    """
    size = side / cells
    extent = max(1.0, size)
    center = (np.arange(cells) + 0.5) * size
    start = np.rint(center - 0.5 * extent).astype(np.intp)
    pixels = start[:, None] + np.arange(int(np.ceil(extent)))
    distance = pixels + 0.5 - center[:, None]
    distance[(pixels < 0) | (pixels >= side)] = np.inf
    return np.clip(pixels, 0, side - 1), distance
