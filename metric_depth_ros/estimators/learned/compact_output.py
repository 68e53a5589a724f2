# SPDX-License-Identifier: Apache-2.0
"""From the compact teacher's answer to depth and confidence at the image's resolution. No torch.

The answer is moved to the edges of the image, which may be finer. No answer passes a point
exactly: what is left at the points is spread over the pixels around them, as far as answer and
points agree.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.estimators.classical.grid import splat
from metric_depth_ros.estimators.classical.layout import pixel_index
from metric_depth_ros.estimators.learned.compact_inputs import fine_size, resized
from metric_depth_ros.estimators.learned.edge_alignment import aligned_with_edges
from metric_depth_ros.types import SparsePrompt

_BLUR = 0.5  # of the residuals, in pixels of the answer
_FADE = 0.05  # residuals fade where less than this share of one point's mass arrives
_DOUBTFUL = 2.0  # points farther off than this many expected errors lose their say
_LEAST_ERROR = 0.01
_HALF_TRUST = 0.05  # expected relative error at which confidence is one half


def depth_of(
    log_depth: NDArray[np.float32],
    log_width: NDArray[np.float32],
    prompt: SparsePrompt,
    unit_m: float,
    image: NDArray[np.uint8],
) -> NDArray[np.float32]:
    """Return (H, W) meters, nowhere farther than the farthest point: no sensor saw that.

    Parameters
    ----------
    log_depth, log_width
        (h, w) natural logarithms of depth over the unit, and of its expected error.
    prompt
        The frame's points, at least one.
    unit_m
        Meters of the unit.
    image
        (H, W, 3) uint8 RGB.
    """
    shape = image.shape[0], image.shape[1]
    farthest = np.log(prompt.depth.max() / np.float32(unit_m))
    level = np.minimum(log_depth, farthest)
    fine = resized(image, fine_size(shape[1], shape[0]))
    # A mean over an edge of inverse depth would be too near, one of depth too far.
    level = enlarged(aligned_with_edges(level, fine), shape)
    pixel = pixel_index(prompt.uv, shape)
    residual = np.log(prompt.depth / np.float32(unit_m)) - level.ravel()[pixel]
    expected = np.exp(enlarged(log_width, shape).ravel()[pixel])
    noise = prompt.sigma / prompt.depth
    weight = _trust(residual, expected, noise)
    blur = _BLUR * max(1.0, shape[1] / log_depth.shape[1])
    mass, total = (
        cv2.GaussianBlur(channel, (0, 0), blur)
        for channel in splat(pixel, weight, [residual.astype(np.float64)], shape)
    )
    mass += np.float32(_FADE / (2.0 * np.pi * blur**2))
    level = np.add(level, np.divide(total, mass, out=total), out=total)
    np.minimum(level, farthest, out=level)  # what is left at a point lifts its neighbors, too
    return np.multiply(np.exp(level, out=level), np.float32(unit_m), out=level)


def confidence_of(
    log_width: NDArray[np.float32], sky: NDArray[np.float32], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return (H, W) confidence in [0, 1]: one half where an error of 5 % is to be expected.

    Parameters
    ----------
    log_width
        (h, w) logarithm of the expected relative error.
    sky
        (h, w) logit of the pixel seeing nothing at all.
    shape
        (H, W) of the image.
    """
    seen = 1.0 / (1.0 + np.exp(sky))
    trust = seen / (1.0 + np.exp(log_width) / np.float32(_HALF_TRUST))
    return enlarged(np.nan_to_num(trust), shape)


def _trust(
    residual: NDArray[np.float32], expected: NDArray[np.float32], noise: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the say of points: none for outliers, little where the answer is the better guess."""
    error = np.hypot(expected, _LEAST_ERROR).astype(np.float64)
    misfit = residual / (_DOUBTFUL * np.hypot(error, noise) + _LEAST_ERROR)
    return error**2 / (error**2 + noise**2) / (1.0 + misfit**4)


def enlarged(field: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return a field at the size of the image, (H, W)."""
    if field.shape == shape:
        return field
    return cv2.resize(field, shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(shape)
