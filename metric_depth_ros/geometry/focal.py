# SPDX-License-Identifier: Apache-2.0
"""Focal length of a pinhole from a point map, by Weiszfeld's algorithm. NumPy only.

A point (X, Y, Z) seen at pixel p, counted from the image center, votes for the focal length f of
p = f (X/Z, Y/Z). The estimate minimizes the sum of the distances |p - f (X/Z, Y/Z)|, which is
convex and forgives outliers. Source: MetricAnything (arXiv:2601.22054), Eq. 6; DUSt3R
(arXiv:2312.14132), `estimate_focal_knowing_depth`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel

_LARGEST_SIDE = 192  # of the map that is used; more points add time, not precision
_LEAST_DISTANCE_PX = 1e-8
_TOLERANCE = 1e-9  # relative change of the focal length that ends the iteration


class FocalFit(NamedTuple):
    """Result of `recover_focal`.

    Parameters
    ----------
    focal_px
        Focal length in pixels, the same for x and y; NaN when it cannot be known.
    residual_px
        Median distance |p - f (X/Z, Y/Z)| over the points used; large where the points do not
        come from a centered pinhole. NaN without points.
    points
        Number of points used.
    """

    focal_px: float
    residual_px: float
    points: int


def recover_focal(
    points: NDArray[np.floating],
    mask: NDArray[np.bool_] | None = None,
    *,
    max_iterations: int = 300,
) -> FocalFit:
    """Recover the focal length of a centered pinhole with square pixels.

    With up to 20 % outliers the estimate stays within 1 %; with 40 % it can be off by as much.

    Parameters
    ----------
    points
        (H, W, 3) points of the optical frame, of any scale, one a pixel, as the network gave
        them: a map that was projected with known intrinsics only returns those.
    mask
        (H, W) bool of the pixels to use; points that are not finite or not in front of the
        camera are never used.
    max_iterations
        Iterations after which an estimate that still changes is accepted.
    """
    pixels, slopes = observations(points, mask)
    return weiszfeld(pixels, slopes, max_iterations=max_iterations)


def recover_camera(
    points: NDArray[np.floating], mask: NDArray[np.bool_] | None = None
) -> CameraModel | None:
    """Recover the centered pinhole of a point map, or None when the points cannot tell it."""
    height, width = points.shape[:2]
    focal_px = recover_focal(points, mask).focal_px
    if not np.isfinite(focal_px):
        return None
    center = 0.5 * (width - 1), 0.5 * (height - 1)
    return CameraModel.pinhole(width, height, focal_px, focal_px, *center)


def weiszfeld(
    pixels: NDArray[np.float64],
    slopes: NDArray[np.float64],
    *,
    start: float | None = None,
    max_iterations: int = 300,
) -> FocalFit:
    """Minimize sum |p - f a| over f by iteratively reweighted least squares.

    Parameters
    ----------
    pixels, slopes
        (N, 2) p in pixels from the image center and a = (X/Z, Y/Z).
    start
        First focal length; default is the median of the votes, which outliers do not move far.
    max_iterations
        Iterations after which an estimate that still changes is accepted.
    """
    power = np.einsum('ni,ni->n', slopes, slopes)
    telling = power > 0.0
    pixels, slopes, power = pixels[telling], slopes[telling], power[telling]
    if len(power) < 2:
        return FocalFit(np.nan, np.nan, len(power))
    # p splits into its part along a, which is the vote, and the rest, which no f can remove.
    vote = np.einsum('ni,ni->n', pixels, slopes) / power
    rest = np.square(pixels - vote[:, None] * slopes).sum(1)
    focal_px = float(np.median(vote)) if start is None else start
    for _ in range(max_iterations):
        distance = np.sqrt(power * np.square(vote - focal_px) + rest)
        weight = power / np.maximum(distance, _LEAST_DISTANCE_PX)
        last, focal_px = focal_px, float(weight @ vote / weight.sum())
        if abs(focal_px - last) <= _TOLERANCE * abs(last):
            break
    distance = np.sqrt(power * np.square(vote - focal_px) + rest)
    if not focal_px > 0.0:
        focal_px = np.nan
    return FocalFit(focal_px, float(np.median(distance)), len(power))


def observations(
    points: NDArray[np.floating], mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centered pixels and slopes X/Z, Y/Z, (N, 2) each, of the usable points.

    Large maps are thinned to at most 192 points a side.
    """
    height, width = points.shape[:2]
    step = -(-max(height, width) // _LARGEST_SIDE)
    # The middle of a side that is shorter than half a step.
    first_row, first_column = (min(step // 2, side // 2) for side in (height, width))
    row, column = np.mgrid[first_row:height:step, first_column:width:step]
    xyz = points[row, column].astype(np.float64)
    usable = np.isfinite(xyz).all(-1) & (xyz[..., 2] > 0.0)
    if mask is not None:
        usable &= mask[row, column]
    xyz = xyz[usable]
    pixels = np.stack((column[usable] - 0.5 * (width - 1), row[usable] - 0.5 * (height - 1)), -1)
    with np.errstate(over='ignore'):
        slopes = xyz[:, :2] / xyz[:, 2:]
    finite = np.isfinite(slopes).all(-1)
    return pixels[finite], slopes[finite]
