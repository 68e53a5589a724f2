# SPDX-License-Identifier: Apache-2.0
"""Figures of a reconstruction: coverage, distance to another surface, F-score. NumPy and SciPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from metric_depth_ros.geometry.voxels import voxel_means

Points = NDArray[np.float32]


@dataclass(frozen=True)
class FScore:
    """How two clouds agree within a distance.

    Parameters
    ----------
    precision
        Share of the reconstruction that lies within it of the truth.
    recall
        Share of the truth that lies within it of the reconstruction.
    """

    precision: float
    recall: float

    @property
    def value(self) -> float:
        """Harmonic mean of both, 0 where both are."""
        total = self.precision + self.recall
        return 2.0 * self.precision * self.recall / total if total else 0.0


@dataclass(frozen=True)
class Comparison:
    """A surface against a reference that it should agree with and exceed.

    Parameters
    ----------
    coverage_ratio
        Cubes that the surface fills, over those that the reference fills.
    median_m
        Median distance from the points of the reference to the surface where both exist.
    shared
        Share of the reference's points that have the surface within reach.
    """

    coverage_ratio: float
    median_m: float
    shared: float


def f_score(points: Points, truth: Points, within_m: float) -> FScore:
    """Return precision and recall of a cloud against the true surface.

    Both are thinned to one point in a cube of half the distance, so that density does not count.
    (source: Knapitsch et al. 2017, Tanks and Temples.)

    Parameters
    ----------
    points, truth
        (N, 3), (M, 3) meters.
    within_m
        Distance in meters.
    """
    points, dense = voxel_means(points, 0.5 * within_m), truth
    truth = voxel_means(truth, 0.5 * within_m)
    if not len(points) or not len(truth):
        return FScore(0.0, 0.0)
    return FScore(
        precision=float(np.mean(_distances(points, dense, within_m) <= within_m)),
        recall=float(np.mean(_distances(truth, points, within_m) <= within_m)),
    )


def compare(points: Points, reference: Points, cube_m: float = 0.05) -> Comparison:
    """Compare a surface with one that was made from less.

    Parameters
    ----------
    points, reference
        (N, 3), (M, 3) meters; points every voxel or denser.
    cube_m
        Edge of the cubes that coverage counts; both exist where they lie within one edge.
    """
    filled, needed = (len(voxel_means(cloud, cube_m)) for cloud in (points, reference))
    if not filled or not needed:
        return Comparison(0.0, float('nan'), 0.0)
    away = _distances(reference, points, cube_m)
    both = away <= cube_m
    median_m = float(np.median(away[both])) if both.any() else float('nan')
    return Comparison(filled / needed, median_m, float(both.mean()))


def _distances(points: Points, others: Points, limit_m: float) -> NDArray[np.float64]:
    """Return how far each point is from the nearest of the others; infinite beyond the limit."""
    reach = 1.001 * limit_m
    return np.asarray(cKDTree(others).query(points, distance_upper_bound=reach)[0])
