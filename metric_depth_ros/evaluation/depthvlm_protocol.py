# SPDX-License-Identifier: Apache-2.0
"""DepthVLM-Bench: the share of points, or of pixels, within a quarter of the truth.

Everything happens at the canonical size of an image, at which its focal length is 1000 pixels.
Imports NumPy and OpenCV.

Source: the evaluation script of DepthVLM (2026), its oddities included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]  # (width, height)

THRESHOLD = 1.25
LONGEST_EDGE = 1024


@dataclass(frozen=True)
class DepthRange:
    """Depth that counts in a dataset.

    Parameters
    ----------
    least_m, most_m
        Both may still be reached.
    cropped
        Whether canonical images are cut to 1024 pixels a side around their center.
    """

    least_m: float
    most_m: float
    cropped: bool = False


RANGES: Mapping[str, DepthRange] = {
    'argoverse': DepthRange(0.05, 120.0),
    'waymo': DepthRange(0.05, 70.0),
    'nuscenes': DepthRange(0.05, 80.0),
    'ddad': DepthRange(0.05, 120.0),
    'scannetpp': DepthRange(0.001, 10.0),
    'taskonomy': DepthRange(0.005, 15.0, cropped=True),
    'hm3d': DepthRange(0.01, 10.0, cropped=True),
    'matterport': DepthRange(0.01, 10.0),
    'sunrgbd': DepthRange(0.005, 8.0),
    'ibims': DepthRange(0.005, 25.0),
    'nyuv2': DepthRange(0.005, 10.0),
    'eth3d': DepthRange(0.01, 50.0),
}


def delta1(predicted: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Return the share of values within a factor of 1.25, 0 where there are none.

    What has no truth, and what is predicted as NaN or not positive, is left out, not counted as
    wrong.
    """
    counted = (truth > 0.0) & (predicted > 0.0) & ~np.isnan(predicted) & ~np.isnan(truth)
    predicted, truth = predicted[counted], truth[counted]
    if not predicted.size:
        return 0.0
    ratio = np.maximum(predicted / truth, truth / predicted)
    return float((ratio < THRESHOLD).mean())


def canonical_truth(
    depth: NDArray[np.float32],
    size: Size,
    limits: DepthRange,
    masks: Sequence[NDArray[np.generic]] = (),
) -> NDArray[np.float32]:
    """Return the true depth at canonical size.

    Parameters
    ----------
    depth
        (H, W) m as stored, 0 unknown.
    size
        Canonical size.
    limits
        Of the dataset.
    masks
        (H, W) not zero where the depth counts.

    Returns
    -------
    NDArray[np.float32]
        m, 0 unknown; cut to 1024 pixels where the dataset wants it.
    """
    inside = (depth >= limits.least_m) & (depth <= limits.most_m)
    for mask in masks:
        inside &= mask != 0
    known = np.where(inside, depth, np.float32(0.0))
    resized = cv2.resize(known, size, interpolation=cv2.INTER_NEAREST)
    left, top = _crop_offset(size, limits)
    return (
        resized[int(top) : int(top) + LONGEST_EDGE, int(left) : int(left) + LONGEST_EDGE]
        if (limits.cropped)
        else resized
    )


def canonical_points(
    pixels: Sequence[Sequence[int]], size: Size, canonical: Size, limits: DepthRange
) -> NDArray[np.int64]:
    """Return (N, 2) pixels of the stored image at canonical size; cutting can put them outside.

    Parameters
    ----------
    pixels
        (N, 2) pixels (u, v).
    size, canonical
        Sizes of the stored and of the canonical image.
    limits
        Of the dataset.
    """
    scale = np.asarray(canonical, np.float64) / np.asarray(size, np.float64)
    moved = np.asarray(pixels, np.float64).reshape(-1, 2) * scale - _crop_offset(canonical, limits)
    return np.rint(moved).astype(np.int64)


def truth_at(
    points: NDArray[np.int64], truth: NDArray[np.float32], listed: Sequence[float]
) -> NDArray[np.float32]:
    """Return the depth at points: of the map, or as listed where the map knows none there.

    Points outside of the map have 0.
    """
    inside = _inside(points, truth.shape)
    found = np.zeros(len(points), np.float32)
    found[inside] = truth[points[inside, 1], points[inside, 0]]
    fallback = np.asarray(listed, np.float32)
    return np.where(inside & (found == 0.0), fallback, found)


def sparse_delta1(
    predicted: NDArray[np.float32], points: NDArray[np.int64], truth: NDArray[np.float32]
) -> float:
    """Return the share of right points.

    As the authors have it, a point is looked up in the prediction as the network gives it, as
    if that had the canonical size, and points outside of it are left out.

    Parameters
    ----------
    predicted
        (H, W) m, the size of the network's input.
    points
        (N, 2) of `canonical_points`.
    truth
        (N,) m.
    """
    inside = _inside(points, predicted.shape)
    return delta1(predicted[points[inside, 1], points[inside, 0]], truth[inside])


def dense_delta1(predicted: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Return the share of right pixels, the prediction being resized to the truth's size."""
    size = truth.shape[1], truth.shape[0]
    return delta1(cv2.resize(predicted, size, interpolation=cv2.INTER_LINEAR), truth)


def _crop_offset(size: Size, limits: DepthRange) -> NDArray[np.float64]:
    if not limits.cropped:
        return np.zeros(2)
    return np.array([max(0, side - LONGEST_EDGE) / 2 for side in size])


def _inside(points: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    u, v = points[:, 0], points[:, 1]
    return (u >= 0) & (u < shape[1]) & (v >= 0) & (v < shape[0])
