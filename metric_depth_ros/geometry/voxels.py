# SPDX-License-Identifier: Apache-2.0
"""Clouds thinned out to one point a cube. NumPy only.

Open3D's voxel_down_sample gives the same; its import alone takes seconds and 200 MB, which a robot
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
    columns = [points[..., axis].reshape(-1) for axis in range(3)]  # contiguous, which is faster
    kept = np.isfinite(columns[0]) & np.isfinite(columns[1]) & np.isfinite(columns[2])
    columns = [column[kept] for column in columns]
    if not len(columns[0]):
        return np.empty((0, 3), np.float32)
    cubes = [np.floor(column * np.float32(1.0 / size_m)) for column in columns]
    cubes = [cube - cube.min() for cube in cubes]
    near = np.maximum(np.maximum(cubes[0], cubes[1]), cubes[2]) < 1 << _BITS
    if not near.all():
        columns, cubes = [c[near] for c in columns], [c[near] for c in cubes]
    x, y, z = (cube.astype(np.int64) for cube in cubes)
    key = (x << (2 * _BITS)) | (y << _BITS) | z
    # Pixels beside each other mostly share a cube: their sums come first, and few are sorted.
    runs = np.flatnonzero(np.diff(key, prepend=-1))
    order = np.argsort(key[runs])
    starts = np.flatnonzero(np.diff(key[runs][order], prepend=-1))
    counts = np.add.reduceat(np.diff(runs, append=len(key))[order], starts)
    means = np.empty((len(starts), 3), np.float32)
    for axis, column in enumerate(columns):
        sums = np.add.reduceat(column, runs, dtype=np.float64)
        means[:, axis] = np.add.reduceat(sums[order], starts) / counts
    return means


def voxel_firsts(points: NDArray[np.float32], size_m: float) -> NDArray[np.intp]:
    """Return the rows, ascending, of the first point in every cube that has any.

    Parameters
    ----------
    points
        (N, 3) meters, finite.
    size_m
        Edge of a cube.
    """
    cubes = np.floor(points * np.float32(1.0 / size_m)).astype(np.int64)
    cubes -= cubes.min(axis=0, initial=0)
    x, y, z = cubes.T
    key = (x << (2 * _BITS)) | (y << _BITS) | z
    return np.sort(np.unique(key, return_index=True)[1])
