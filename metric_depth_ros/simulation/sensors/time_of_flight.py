# SPDX-License-Identifier: Apache-2.0
"""A low-resolution time-of-flight sensor, as phones carry it. NumPy and OpenCV only."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TimeOfFlightModel:
    """A low-resolution depth map over the whole image.

    Parameters
    ----------
    factor
        Its cells are this many pixels wide and high.
    smoothing_cells
        One standard deviation of the filter that its driver runs over the map.
    noise_rel
        One standard deviation of depth, relative; alike over a few cells.
    scale_error
        One standard deviation of a factor on the whole map.
    max_depth_m
        No value beyond.
    """

    factor: float = 7.5
    smoothing_cells: float = 0.6
    noise_rel: float = 0.01
    scale_error: float = 0.01
    max_depth_m: float = 6.0


def measure_cells(
    depth: NDArray[np.float32], model: TimeOfFlightModel, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the small (h, w) depth map in meters, NaN where it has no value.

    A cell gathers the light of its whole area, and near surfaces send more: it is the mean of
    inverse depth, so that cells at edges hold a depth that neither surface has.
    """
    height, width = depth.shape
    size = (max(1, round(width / model.factor)), max(1, round(height / model.factor)))
    known = (np.isfinite(depth) & (depth > 0.0)).astype(np.float32)
    inverse = known / np.where(known > 0.0, depth, np.float32(1.0))
    share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    light = cv2.resize(inverse, size, interpolation=cv2.INTER_AREA)
    if model.smoothing_cells:
        share = cv2.GaussianBlur(share, (0, 0), model.smoothing_cells)
        light = cv2.GaussianBlur(light, (0, 0), model.smoothing_cells)
    ripple = cv2.GaussianBlur(rng.standard_normal(light.shape, np.float32), (0, 0), 0.8)
    error = 1.0 + model.scale_error * rng.standard_normal() + 2.8 * model.noise_rel * ripple
    with np.errstate(divide='ignore', invalid='ignore'):
        cells = (share / light * error).astype(np.float32)
    usable = (share > 0.3) & (cells > 0.0) & (cells <= model.max_depth_m)
    return np.where(usable, cells, np.float32(np.nan))
