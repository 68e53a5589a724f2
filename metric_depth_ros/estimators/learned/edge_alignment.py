# SPDX-License-Identifier: Apache-2.0
"""A depth map moved to the edges of its image: joint bilateral filtering. NumPy and OpenCV.

Every pixel is a mean of the pixels around it, of those most that have its own gray level. Where
the image is plain the map hardly changes, for there it is smooth already.

Source: Kopf et al., "Joint Bilateral Upsampling", SIGGRAPH 2007.
"""

from __future__ import annotations

from collections.abc import Iterator

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
        (h, w) float32, of which means make sense: inverse depth rather than depth.
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
    total, weights = np.zeros(gray.shape, np.float32), np.full(gray.shape, 1e-12, np.float32)
    neighbors = _beside(field, coarse) if same else _around(field, coarse, gray.shape)
    for nearness, there, level in neighbors:
        weight = cv2.LUT(cv2.absdiff(gray, level), likeness)
        weight *= nearness
        weights += weight
        weight *= there
        total += weight
    total /= weights
    return total


def _likeness(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the say of a neighbor by how many gray levels it is off, (256,)."""
    wide = gray.shape[1] > 1
    typical = cv2.mean(cv2.absdiff(gray[:, 1:], gray[:, :-1]))[0] + _NOISE if wide else _NOISE
    # Never nothing at all: a pixel unlike all around it is their mean.
    return np.exp(-np.arange(256) / (_CONTRASTS * typical)).clip(1e-6).astype(np.float32)


def _beside(
    field: NDArray[np.float32], gray: NDArray[np.uint8]
) -> Iterator[tuple[np.float32, NDArray[np.float32], NDArray[np.uint8]]]:
    """Yield nearness, value and gray level of the neighbors of all pixels, in one order."""
    (height, width), margin = field.shape, _REACH - 1
    field, gray = _padded(field, margin), _padded(gray, margin)
    for y in range(-margin, margin + 1):
        for x in range(-margin, margin + 1):
            there = np.s_[margin + y : margin + y + height, margin + x : margin + x + width]
            nearness = np.float32((1.0 - abs(y) / _REACH) * (1.0 - abs(x) / _REACH))
            yield nearness, field[there], gray[there]


def _around(
    field: NDArray[np.float32], gray: NDArray[np.uint8], shape: tuple[int, int]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]]:
    """Yield the same of the coarse pixels around every pixel of an image of (H, W)."""
    (rows, row_offset), (columns, column_offset) = (
        _places(fine, coarse) for fine, coarse in zip(shape, field.shape, strict=True)
    )
    places = np.empty((*shape, 2), np.int16)
    places[..., 0], places[..., 1] = columns, rows[:, None]
    field, gray = _padded(field, _COARSE_REACH), _padded(gray, _COARSE_REACH)
    for y in range(1 - _COARSE_REACH, 1 + _COARSE_REACH):
        for x in range(1 - _COARSE_REACH, 1 + _COARSE_REACH):
            corner = np.s_[_COARSE_REACH + y :, _COARSE_REACH + x :]
            values, levels = (
                cv2.remap(np.ascontiguousarray(part[corner]), places, None, cv2.INTER_NEAREST)
                for part in (field, gray)
            )
            yield _nearness(row_offset - y)[:, None] * _nearness(column_offset - x), values, levels


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
