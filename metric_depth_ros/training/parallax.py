# SPDX-License-Identifier: Apache-2.0
"""The image as a camera beside the sensor of the depth sees it. NumPy and OpenCV.

The truth of recorded frames is of a LiDAR or of a second camera, some centimeters away: near
things stand elsewhere before what is behind them than in the image, and where the two disagree
about a silhouette, truth and points agree.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_NEAR = 5.0  # percentile of depth that stands for what is near
_LEAST_SHARE = 0.25  # of that depth: what is nearer still moves no farther than four times as much
_OFF_PX, _OFF_AHEAD_PX = 4.0, 3.0  # of what is near; sideways, and at the border by moving ahead
_CRACK_PX, _HOLE_PX = 3, 21
_SAME_SURFACE = 0.8  # of the depth of what is behind


def seen_from_beside(
    image: NDArray[np.uint8], depth: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the image from some place beside the camera; the depth stays where it is.

    What the camera cannot see is painted like what is behind, next to it.

    Parameters
    ----------
    image
        (H, W, 3) RGB.
    depth
        (H, W) meters, +Inf for the sky, some of it finite.
    """
    height, width = depth.shape
    near_m = np.percentile(depth[np.isfinite(depth)], _NEAR)
    moved_px = float(rng.uniform()) * rng.standard_normal(3) * (_OFF_PX, _OFF_PX, _OFF_AHEAD_PX)
    nearness = (near_m / depth).clip(max=1.0 / _LEAST_SHARE).astype(np.float32)
    v, u = np.indices(depth.shape, np.float32)
    ahead = moved_px[2] / (0.5 * width)
    off_u = (moved_px[0] + ahead * (u - 0.5 * (width - 1))).astype(np.float32)
    off_v = (moved_px[1] + ahead * (v - 0.5 * (height - 1))).astype(np.float32)
    seen = _nearest_first(u + off_u * nearness, v + off_v * nearness, nearness)
    hidden = seen == 0.0
    # The offset changes so slowly over the image that it may be taken where it leads.
    moved = cv2.remap(
        image,
        u - off_u * seen,
        v - off_v * seen,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return _continued(moved, seen, hidden)


def _nearest_first(
    u: NDArray[np.float32], v: NDArray[np.float32], nearness: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (H, W) the largest nearness that falls on each pixel, 0 where there is none.

    The sky counts as barely near. Cracks between pixels of one surface are closed.
    """
    height, width = nearness.shape
    column, row = np.rint(u).astype(np.intp), np.rint(v).astype(np.intp)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    value = np.maximum(nearness, np.float32(1e-6))[inside]
    order = np.argsort(value)  # the last to be written stays
    seen = np.zeros((height, width), np.float32)
    seen.flat[(row[inside] * width + column[inside])[order]] = value[order]
    closed = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, np.ones((_CRACK_PX, _CRACK_PX), np.uint8))
    return np.where(seen < _SAME_SURFACE * closed, closed, seen).astype(np.float32, copy=False)


def _continued(
    image: NDArray[np.uint8], nearness: NDArray[np.float32], hidden: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Return the image with hidden pixels like the nearest one of what is behind."""
    if not hidden.any() or hidden.all():
        return image
    distance = np.where(hidden, np.float32(0.0), 1.0 / np.maximum(nearness, np.float32(1e-6)))
    around = cv2.dilate(distance, np.ones((_HOLE_PX, _HOLE_PX), np.uint8))
    behind = ~hidden & (distance >= _SAME_SURFACE * around)
    _, label = cv2.distanceTransformWithLabels(
        (~behind).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    place = np.zeros(int(label.max()) + 1, np.intp)
    place[label[behind]] = np.flatnonzero(behind)
    filled = image.copy()
    filled[hidden] = image.reshape(-1, 3)[place[label[hidden]]]
    return filled
