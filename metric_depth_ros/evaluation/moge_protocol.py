# SPDX-License-Identifier: Apache-2.0
"""Depth and point-map figures as MoGe computes them, for comparison with published numbers.

Source: Wang et al., "MoGe" (CVPR 2025) and "MoGe-2", reference code ``moge/test/metrics.py``.
Alignments minimize a weighted sum of absolute errors on a 64x64 subsample of the valid pixels;
they are found to convergence. Even ``points_metric`` is not free of alignment: a shift is fitted.
None of this belongs to our own figures (`metrics`), which never align. NumPy and SciPy only.

Two things are ours, where the reference code ends in an error. What is predicted as NaN, infinite
or not positive takes no part in alignments and counts as a failure, as in `metrics`: as depth of
0.001 m, as a point at the camera. Without any valid pixel the figures are NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from metric_depth_ros.geometry.grid_cells import cell_windows

FloatMap = NDArray[np.floating]
BoolMap = NDArray[np.bool_]

_EPSILON = 1e-6
_SUBSAMPLE = 64
_DELTA_RATIO = 1.25
_BOUNDARY_STEPS = np.linspace(0.05, 0.25, 10)
_FAILED_M = 1e-3
_DEPTH_GROUPS = (
    'depth_metric',
    'depth_scale_invariant',
    'depth_affine_invariant',
    'disparity_affine_invariant',
)
_POINT_GROUPS = ('points_metric', 'points_scale_invariant', 'points_affine_invariant')


@dataclass(frozen=True, eq=False)
class PointMap:
    """What MoGe compares: one per prediction and one for the ground truth.

    Parameters
    ----------
    depth
        (H, W) meters.
    points
        (H, W, 3) meters in the camera optical frame, or None.
    K
        (3, 3) intrinsics divided by width and height, or None.
    """

    depth: FloatMap
    points: FloatMap | None = None
    K: FloatMap | None = None


def moge_metrics(
    prediction: PointMap, ground_truth: PointMap, mask: BoolMap, *, with_boundaries: bool = True
) -> dict[str, dict[str, float]]:
    """Return all figures of one image for a metric prediction.

    Parameters
    ----------
    prediction, ground_truth
        Maps of the same size.
    mask
        (H, W) pixels whose ground truth is valid.
    with_boundaries
        Whether the ground truth has sharp edges.

    Returns
    -------
    dict
        ``depth_metric``, ``depth_scale_invariant``, ``depth_affine_invariant``,
        ``disparity_affine_invariant`` and, with points, ``points_metric``,
        ``points_scale_invariant``, ``points_affine_invariant``, each with ``rel`` and ``delta1``;
        ``fov_x`` with ``mae`` and ``deviation`` in degrees; ``boundary`` with ``radius1_f1`` to
        ``radius3_f1``.
    """
    result = _depth_figures(prediction.depth, ground_truth.depth, mask)
    if prediction.points is not None and ground_truth.points is not None:
        result.update(_points_figures(prediction.points, ground_truth.points, mask))
    if prediction.K is not None and ground_truth.K is not None:
        deviation = fov_x_deg(prediction.K) - fov_x_deg(ground_truth.K)
        result['fov_x'] = {'mae': abs(deviation), 'deviation': deviation}
    if with_boundaries:
        result['boundary'] = {
            f'radius{r}_f1': moge_boundary_f1(prediction.depth, ground_truth.depth, mask, r)
            for r in (1, 2, 3)
        }
    return result


def fov_x_deg(K: FloatMap) -> float:
    """Return the horizontal field of view of intrinsics divided by the image size, in degrees."""
    return float(np.degrees(2.0 * np.arctan(0.5 / float(K[0, 0]))))


def moge_boundary_f1(
    prediction: FloatMap, ground_truth: FloatMap, mask: BoolMap, radius: int
) -> float:
    """Return MoGe's boundary F1: depth ratios to all neighbors within a disc.

    Not comparable with `boundary.boundary_f1`: counts are pooled over directions and larger steps
    weigh more. NaN of maps in which no pixel has all of its neighbors.
    """
    height, width = mask.shape
    if min(height, width) <= 2 * radius or not mask.any():
        return float('nan')
    inner = (slice(radius, height - radius), slice(radius, width - radius))
    offsets = [
        (dy, dx)
        for dy in range(-radius, radius + 1)
        for dx in range(-radius, radius + 1)
        if 0 < dy * dy + dx * dx <= radius * radius
    ]
    counts = np.zeros((len(_BOUNDARY_STEPS), 3), np.int64)
    for dy, dx in offsets:
        near = (
            slice(radius + dy, height - radius + dy),
            slice(radius + dx, width - radius + dx),
        )
        valid = mask[inner] & mask[near]
        with np.errstate(divide='ignore', invalid='ignore'):
            predicted_ratio = (prediction[near] / prediction[inner])[valid]
            true_ratio = (ground_truth[near] / ground_truth[inner])[valid]
        for i, step in enumerate(_BOUNDARY_STEPS.astype(np.float32)):
            predicted, true = predicted_ratio > 1 + step, true_ratio > 1 + step
            counts[i] += (predicted & true).sum(), predicted.sum(), true.sum()
    hits, predicted_count, true_count = counts.T
    precision = hits / np.maximum(predicted_count, 1e-12)
    recall = hits / np.maximum(true_count, 1e-12)
    f1 = 2.0 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float((_BOUNDARY_STEPS * f1).sum() / _BOUNDARY_STEPS.sum())


def _depth_figures(p: FloatMap, d: FloatMap, mask: BoolMap) -> dict[str, dict[str, float]]:
    usable = np.isfinite(p) & (p > 0.0)
    aligned = _aligned_depth(p, d, mask & usable, float(d[mask].max(initial=0.0)))
    missed = d[mask & ~usable]
    truth = np.concatenate((d[mask & usable], missed)).astype(np.float64)
    failed = np.full(len(missed), _FAILED_M)
    return {
        name: _depth_errors(np.concatenate((depth, failed)), truth)
        for name, depth in aligned.items()
    }


def _aligned_depth(
    p: FloatMap, d: FloatMap, used: BoolMap, farthest: float
) -> dict[str, FloatMap]:
    """Return (N,) depth of the used pixels, aligned in every way."""
    if not used.any():
        return dict.fromkeys(_DEPTH_GROUPS, np.empty(0))
    sample = _subsample(used)
    p_few, d_few = p[sample].astype(np.float64), d[sample].astype(np.float64)
    weight = 1.0 / d_few
    scale = _fit_scale(p_few, d_few, weight)
    affine_scale, shift = _fit_affine(p_few[:, None], d_few[:, None], weight)
    p, d = p[used].astype(np.float64), d[used].astype(np.float64)
    design = np.stack((1.0 / p, np.ones_like(p)), axis=1)
    (a, b), *_ = np.linalg.lstsq(design, 1.0 / d, rcond=None)
    # Disparities near 0 would make extreme outliers: they end at the farthest ground truth.
    disparity = np.maximum(a / p + b, 1.0 / farthest)
    aligned = (p, p * scale, p * affine_scale + shift[0], 1.0 / disparity)
    return dict(zip(_DEPTH_GROUPS, aligned, strict=True))


def _points_figures(p: FloatMap, d: FloatMap, mask: BoolMap) -> dict[str, dict[str, float]]:
    usable = np.isfinite(p).all(axis=-1)
    aligned = _aligned_points(p, d, mask & usable)
    missed = d[mask & ~usable]
    truth = np.concatenate((d[mask & usable], missed)).astype(np.float64)
    failed = np.zeros_like(missed)
    return {
        name: _point_errors(np.concatenate((points, failed)), truth)
        for name, points in aligned.items()
    }


def _aligned_points(p: FloatMap, d: FloatMap, used: BoolMap) -> dict[str, FloatMap]:
    """Return (N, 3) points of the used pixels, aligned in every way."""
    if not used.any():
        return dict.fromkeys(_POINT_GROUPS, np.empty((0, 3)))
    sample = _subsample(used)
    p_few, d_few = p[sample].astype(np.float64), d[sample].astype(np.float64)
    weight = 1.0 / np.linalg.norm(d_few, axis=1)
    ones = np.ones(len(weight))
    shift = np.array([_fit_scale(ones, (d_few - p_few)[:, k], weight) for k in range(3)])
    scale = _fit_scale(p_few.ravel(), d_few.ravel(), np.repeat(weight, 3))
    affine_scale, affine_shift = _fit_affine(p_few, d_few, weight)
    p = p[used].astype(np.float64)
    aligned = (p + shift, p * scale, p * affine_scale + affine_shift)
    return dict(zip(_POINT_GROUPS, aligned, strict=True))


def _depth_errors(p: FloatMap, d: FloatMap) -> dict[str, float]:
    if not d.size:
        return {'rel': float('nan'), 'delta1': float('nan')}
    with np.errstate(divide='ignore', invalid='ignore'):
        ratio = np.maximum(d / p, p / d)
    return {
        'rel': float((np.abs(p - d) / (d + _EPSILON)).mean()),
        'delta1': float((ratio < _DELTA_RATIO).mean()),
    }


def _point_errors(p: FloatMap, d: FloatMap) -> dict[str, float]:
    if not d.size:
        return {'rel': float('nan'), 'delta1': float('nan')}
    error = np.linalg.norm(p - d, axis=1)
    p_range, d_range = np.linalg.norm(p, axis=1), np.linalg.norm(d, axis=1)
    inlier = error < (_DELTA_RATIO - 1.0) * np.minimum(p_range, d_range)
    return {
        'rel': float((error / (d_range + _EPSILON)).mean()),
        'delta1': float(inlier.mean()),
    }


def _subsample(mask: BoolMap) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return (rows, columns): for each of 64x64 cells the valid pixel nearest to its center."""
    rows, row_offset = cell_windows(mask.shape[0], _SUBSAMPLE)
    columns, column_offset = cell_windows(mask.shape[1], _SUBSAMPLE)
    distance = row_offset[:, None, :, None] ** 2 + column_offset[None, :, None, :] ** 2
    valid = mask[rows[:, None, :, None], columns[None, :, None, :]]
    distance = np.where(valid, distance, np.inf).reshape(_SUBSAMPLE, _SUBSAMPLE, -1)
    nearest = distance.argmin(axis=2)
    i, j = np.nonzero(np.isfinite(distance.min(axis=2)))
    k, m = np.divmod(nearest[i, j], columns.shape[1])
    return rows[i, k], columns[j, m]


def _fit_scale(x: FloatMap, y: FloatMap, weight: FloatMap) -> float:
    """Return the a that minimizes sum w |a x - y|: the weighted median of y / x."""
    size = np.abs(x)
    ratio = np.where(x < 0.0, -y, y) / np.maximum(size, 1e-7)
    return _weighted_median(ratio, size * weight)


def _fit_affine(x: FloatMap, y: FloatMap, weight: FloatMap) -> tuple[float, NDArray[np.float64]]:
    """Return scale and shift (C,) that minimize sum w |s x + t - y| over (N, C) values.

    For a given scale the best shift is a weighted median, and what then is left of the error is
    convex in the scale. The reference code only tries shifts that pass through one of the points
    in all channels, which leaves its point-map figures up to 0.2 % from those of the minimum.
    """

    def shift_of(scale: float) -> NDArray[np.float64]:
        return np.array([_weighted_median(r, weight) for r in (y - scale * x).T])

    def error_of(scale: float) -> float:
        return float((weight @ np.abs(scale * x + shift_of(scale) - y)).sum())

    scale = float(minimize_scalar(error_of, bracket=(0.5, 1.5), method='golden', tol=1e-9).x)
    return scale, shift_of(scale)


def _weighted_median(values: FloatMap, weight: FloatMap) -> float:
    order = np.argsort(values)
    mass = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(mass, 0.5 * mass[-1])]])
