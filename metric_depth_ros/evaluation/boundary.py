# SPDX-License-Identifier: Apache-2.0
"""Scale-invariant boundary scores of depth maps, as Depth Pro defines them. NumPy only.

Source: Bochkovskii et al., "Depth Pro" (ICLR 2025), section 3.3, and its reference code.
Precision and recall are means over the four directions of a contour; a direction in which the
ground truth has no contour contributes 0 to both, so that even a perfect map scores below 1
where contours do not run all ways (a single vertical step scores 1/4 against itself).

Ratios are formed in the precision of the input, as in the reference code: a ratio that equals a
threshold may fall on either side in another precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatMap = NDArray[np.floating]
BoolMap = NDArray[np.bool_]

_THRESHOLDS = np.linspace(1.05, 1.25, 10)
_WEIGHTS = _THRESHOLDS / _THRESHOLDS.sum()
_NEAREST_M = 1e-6  # depth below it counts as it: keeps the inverse finite
_OPAQUE = 0.1  # alpha above it is foreground


@dataclass(frozen=True, eq=False)
class BoundaryScore:
    """Boundary scores over the thresholds 1.05 to 1.25.

    Parameters
    ----------
    f1
        Mean of the F1 scores, weighted by threshold.
    f1_at, precision_at, recall_at
        (10,) per threshold.
    counts
        (10, 4, 3) int: threshold; left, top, right, bottom; true positives, contours of the
        prediction, contours of the ground truth.
    """

    f1: float
    f1_at: NDArray[np.float64]
    precision_at: NDArray[np.float64]
    recall_at: NDArray[np.float64]
    counts: NDArray[np.int64]


def boundary_f1(
    prediction: FloatMap, ground_truth: FloatMap, mask: BoolMap | None = None
) -> BoundaryScore:
    """Compare the occlusion contours of two depth maps.

    Parameters
    ----------
    prediction, ground_truth
        (H, W) depth, each up to its own scale. NaN makes no contour.
    mask
        (H, W) valid pixels: pairs that touch another one are dropped. The reference code has
        none, and takes the edge of every hole of the ground truth for a contour; pass
        ``np.isfinite(ground_truth)`` for measured ground truth.
    """
    pairs = [
        (_direction_pairs(_inverse(prediction), k), _direction_pairs(_inverse(ground_truth), k))
        for k in range(4)
    ]
    counted = None if mask is None else [_both(mask, axis) for axis in (1, 0, 1, 0)]
    counts = np.zeros((len(_THRESHOLDS), 4, 3), np.int64)
    for i, threshold in enumerate(_THRESHOLDS):
        for k, (predicted_ratio, true_ratio) in enumerate(pairs):
            predicted, true = predicted_ratio > threshold, true_ratio > threshold
            if counted is not None:
                predicted, true = predicted & counted[k], true & counted[k]
            counts[i, k] = (predicted & true).sum(), predicted.sum(), true.sum()
    hits, predicted_count, true_count = np.moveaxis(counts, -1, 0)
    precision = (hits / np.maximum(predicted_count, 1)).mean(axis=1)
    recall = (hits / np.maximum(true_count, 1)).mean(axis=1)
    both = precision + recall
    f1 = np.divide(2.0 * precision * recall, both, out=np.zeros_like(both), where=both > 0.0)
    return BoundaryScore(float(_WEIGHTS @ f1), f1, precision, recall, counts)


def boundary_recall(prediction: FloatMap, alpha: FloatMap) -> tuple[float, NDArray[np.float64]]:
    """Return the share of a matte's edges that a depth map has, for thin structures.

    Parameters
    ----------
    prediction
        (H, W) depth up to scale.
    alpha
        (H, W) matte in [0, 1]; above 0.1 is foreground.

    Returns
    -------
    tuple
        Mean weighted by threshold, and (10,) recall per threshold. Edges of the prediction are
        thinned first: of a run of contour pixels along a row (or column), only that of the
        largest ratio stays.
    """
    inverse = _inverse(prediction)
    foreground = (alpha > _OPAQUE).astype(np.float32)
    edges = [_foreground_edges(foreground, k) for k in range(4)]
    edge_counts = np.maximum([e.sum() for e in edges], 1)
    ratios = [_direction_pairs(inverse, k) for k in range(4)]
    recall = np.zeros(len(_THRESHOLDS))
    for i, threshold in enumerate(_THRESHOLDS):
        hits = [
            (_thinned(ratio, threshold, axis) & edge).sum()
            for ratio, edge, axis in zip(ratios, edges, (1, 0, 1, 0), strict=True)
        ]
        recall[i] = (np.array(hits) / edge_counts).mean()
    return float(_WEIGHTS @ recall), recall


def _inverse(depth: FloatMap) -> FloatMap:
    return 1.0 / np.maximum(depth, depth.dtype.type(_NEAREST_M))


def _direction_pairs(x: FloatMap, direction: int) -> FloatMap:
    """Ratio of neighbors in one direction: 0 left, 1 top, 2 right, 3 bottom.

    Formed in the precision of the depth and compared in float64, which NumPy 1 would not do by
    itself: a ratio at a threshold must fall on the same side everywhere.
    """
    first, second = (x[:, :-1], x[:, 1:]) if direction in (0, 2) else (x[:-1], x[1:])
    with np.errstate(divide='ignore', invalid='ignore'):
        ratio = first / second if direction in (0, 1) else second / first
    return ratio.astype(np.float64)


def _foreground_edges(foreground: FloatMap, direction: int) -> BoolMap:
    first, second = (
        (foreground[:, :-1], foreground[:, 1:])
        if direction in (0, 2)
        else (foreground[:-1], foreground[1:])
    )
    return first > second if direction in (0, 1) else second > first


def _both(mask: BoolMap, axis: int) -> BoolMap:
    return mask[:, :-1] & mask[:, 1:] if axis == 1 else mask[:-1] & mask[1:]


def _thinned(ratio: FloatMap, threshold: float, axis: int) -> BoolMap:
    """Keep the first largest ratio of every run above the threshold along an axis."""
    rows = ratio if axis == 1 else ratio.T
    above = rows > threshold
    padded = np.pad(above, ((0, 0), (1, 1)))
    starts = (padded[:, 1:-1] & ~padded[:, :-2]).ravel()
    run = np.cumsum(starts) - 1
    flat = np.flatnonzero(above.ravel())
    if flat.size == 0:
        return np.zeros_like(ratio, bool)
    run_of, value = run[flat], rows.ravel()[flat]
    peak = np.full(run[-1] + 1, -np.inf)
    np.maximum.at(peak, run_of, value)
    is_peak = value == peak[run_of]
    first = np.full(len(peak), rows.size)
    np.minimum.at(first, run_of[is_peak], flat[is_peak])
    kept = np.zeros(rows.size, bool)
    kept[first] = True
    kept = kept.reshape(rows.shape)
    return kept if axis == 1 else kept.T
