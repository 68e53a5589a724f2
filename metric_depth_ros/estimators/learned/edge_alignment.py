# SPDX-License-Identifier: Apache-2.0
"""A depth map moved to the edges of its image: joint bilateral filtering. NumPy and OpenCV.

Every pixel is a mean of the pixels around it, of those most that have its own gray level. Where
the image is plain the map hardly changes, for there it is smooth already.

Source: Kopf et al., "Joint Bilateral Upsampling", SIGGRAPH 2007.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_REACH = 3  # pixels at which a neighbor counts no more, where map and image are equally fine
_COARSE_REACH = 2  # the same in pixels of a coarser map
_CONTRASTS = 2.0  # a neighbor so many typical differences off counts 1 / e
_NOISE = 3.3  # gray levels of a camera, or noise in a plain image would be taken for edges


def aligned_with_edges(
    field: NDArray[np.float32], image: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return a map at the size of an image, its edges where the image has them.

    Parameters
    ----------
    field
        (h, w) float32, of which means make sense: the logarithm of depth rather than depth.
    image
        (H, W, 3) uint8 RGB of the same view, as fine or finer.

    Returns
    -------
    NDArray[np.float32]
        (H, W), within the limits of the field.
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    same = gray.shape == field.shape
    coarse = gray if same else cv2.resize(gray, field.shape[::-1], interpolation=cv2.INTER_AREA)
    likeness = _likeness(coarse)
    total, weights = (
        _beside(field, gray, likeness) if same else _around(field, gray, coarse, likeness)
    )
    total /= weights
    return total


def _likeness(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the say of a neighbor by how many gray levels it is off, (256,)."""
    wide = gray.shape[1] > 1
    typical = cv2.mean(cv2.absdiff(gray[:, 1:], gray[:, :-1]))[0] + _NOISE if wide else _NOISE
    # Never nothing at all: a pixel unlike all around it is their mean.
    return np.exp(-np.arange(256) / (_CONTRASTS * typical)).clip(1e-6).astype(np.float32)


def _beside(
    field: NDArray[np.float32], gray: NDArray[np.uint8], likeness: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weighted sum of the neighbors of all pixels, and that of their weights.

    Two pixels are each other's neighbors with the same weight: one map of weights serves both.
    """
    (h, w), m = field.shape, _REACH - 1
    total = likeness[0] * field
    weights = np.full_like(total, likeness[0])
    field, gray = _padded(field, m), _padded(gray, m)
    for y in range(m + 1):
        for x in range(-m if y else 1, m + 1):
            nearness = np.float32((1.0 - y / _REACH) * (1.0 - abs(x) / _REACH))
            # From everywhere to y lower and x to the right, within the image at one end at least.
            left, right = max(x, 0), max(-x, 0)
            here = gray[m - y : m + h, m - left : m + w + right]
            there = gray[m : m + h + y, m - right : m + w + left]
            weight = cv2.LUT(cv2.absdiff(here, there), likeness * nearness)
            for part, dy, dx in (
                (weight[y:, left : left + w], y, x),
                (weight[:h, right : right + w], -y, -x),
            ):
                beside = field[m + dy : m + dy + h, m + dx : m + dx + w]
                cv2.accumulate(part, weights)
                cv2.accumulateProduct(part, beside, total)
    return total, weights


def _around(
    field: NDArray[np.float32],
    gray: NDArray[np.uint8],
    coarse: NDArray[np.uint8],
    likeness: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the same of the coarse pixels around every pixel of an image."""
    (rows, row_offset), (columns, column_offset) = (
        _places(fine, few) for fine, few in zip(gray.shape, field.shape, strict=True)
    )
    places = np.empty((*gray.shape, 2), np.int16)
    places[..., 0], places[..., 1] = columns, rows[:, None]
    total, weights = np.zeros(gray.shape, np.float32), np.full(gray.shape, 1e-12, np.float32)
    field, coarse = _padded(field, _COARSE_REACH), _padded(coarse, _COARSE_REACH)
    for y in range(1 - _COARSE_REACH, 1 + _COARSE_REACH):
        for x in range(1 - _COARSE_REACH, 1 + _COARSE_REACH):
            corner = np.s_[_COARSE_REACH + y :, _COARSE_REACH + x :]
            there, level = (
                cv2.remap(np.ascontiguousarray(part[corner]), places, None, cv2.INTER_NEAREST)
                for part in (field, coarse)
            )
            weight = cv2.LUT(cv2.absdiff(gray, level), likeness)
            weight *= _nearness(row_offset - y)[:, None] * _nearness(column_offset - x)
            weights += weight
            weight *= there
            total += weight
    return total, weights


def _places(fine: int, coarse: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the coarse pixel at or before each fine one, and how far behind it that lies."""
    position = (np.arange(fine) + 0.5) * (coarse / fine) - 0.5
    before = np.floor(position)
    # The first fine pixels lie before the first coarse one, at -1: they count from there.
    at = before.clip(0, coarse - 1)
    return at.astype(np.intp), (position - at).astype(np.float32)


def _nearness(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    return (1.0 - np.abs(distance) / _COARSE_REACH).clip(0.0)


def _padded(field: NDArray, margin: int) -> NDArray:
    return cv2.copyMakeBorder(field, *(margin,) * 4, cv2.BORDER_REPLICATE)
