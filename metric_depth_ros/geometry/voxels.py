# SPDX-License-Identifier: Apache-2.0
"""Clouds thinned out to one point a cube. NumPy only.

Open3D's voxel_down_sample gives the same; its import alone takes seconds and 200 MB, which a robot
need not pay for an average.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BITS = 21  # of a cube's number along each axis: 2 million cubes, 100 km of 5 cm
_CUBES = 1 << _BITS


def voxel_means(points: NDArray[np.float32], size_m: float) -> NDArray[np.float32]:
    """Return the mean of the points in every cube that has any.

    Parameters
    ----------
    points
        (..., 3) meters; those that are not finite are left out, and so are those more than a
        million cubes from the middle one, where all together do not fit into two million.
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
    near, key = _numbered(columns, size_m)
    if not len(key):
        return np.empty((0, 3), np.float32)
    if not near.all():
        columns = [column[near] for column in columns]
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
        (N, 3) meters, finite; those far from the others are left out as in `voxel_means`.
    size_m
        Edge of a cube.
    """
    near, key = _numbered(list(points.T), size_m)
    return np.flatnonzero(near)[np.sort(np.unique(key, return_index=True)[1])]


def _numbered(
    columns: Sequence[NDArray[np.float32]], size_m: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which points are near enough for a number, and those of their cubes."""
    with np.errstate(over='ignore', invalid='ignore'):
        cubes = [np.floor(column * np.float32(1.0 / size_m)) for column in columns]
        cubes = [cube - _lowest(cube) for cube in cubes]
    near = np.minimum(np.minimum(cubes[0], cubes[1]), cubes[2]) >= 0.0
    near &= np.maximum(np.maximum(cubes[0], cubes[1]), cubes[2]) < _CUBES
    if not near.all():
        cubes = [cube[near] for cube in cubes]
    x, y, z = (cube.astype(np.int64) for cube in cubes)
    return near, (x << (2 * _BITS)) | (y << _BITS) | z


def _lowest(cubes: NDArray[np.float32]) -> float:
    """Return where numbers begin along an axis: at the least, unless some lie too far out."""
    if not len(cubes) or float(cubes.max()) - float(cubes.min()) < _CUBES:
        return float(cubes.min(initial=np.inf))
    middle = len(cubes) // 2
    return float(np.partition(cubes, middle)[middle]) - _CUBES // 2
