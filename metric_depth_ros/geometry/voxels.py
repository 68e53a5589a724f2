# SPDX-License-Identifier: Apache-2.0
"""Clouds thinned out to one point a cube. NumPy only.

Open3D's voxel_down_sample does the same; its import alone takes seconds and 200 MB, which a robot
need not pay for an average.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BITS = 21  # of a cube's number along each axis: 2 million cubes, 100 km of 5 cm


def voxel_means(points: NDArray[np.float32], size_m: float) -> NDArray[np.float32]:
    """Return the mean of the points in every cube that has any.

    Parameters
    ----------
    points
        (..., 3) meters; those that are not finite are left out.
    size_m
        Edge of a cube.

    Returns
    -------
    NDArray[np.float32]
        (M, 3) meters, in no particular order.
    """
    flat = points.reshape(-1, 3)
    flat = flat[np.isfinite(flat).all(axis=1)]
    cube = np.floor(flat * np.float32(1.0 / size_m)).astype(np.int64)
    if not len(flat):
        return np.empty((0, 3), np.float32)
    cube -= cube.min(axis=0)
    kept = (cube < (1 << _BITS)).all(axis=1)
    flat, cube = flat[kept], cube[kept]
    key = (cube[:, 0] << (2 * _BITS)) | (cube[:, 1] << _BITS) | cube[:, 2]
    order = np.argsort(key)
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    sums = np.add.reduceat(flat[order].astype(np.float64), starts, axis=0)
    counts = np.diff(starts, append=len(order))
    return (sums / counts[:, None]).astype(np.float32)
