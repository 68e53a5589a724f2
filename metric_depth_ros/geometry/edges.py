# SPDX-License-Identifier: Apache-2.0
"""Depth that floats between two surfaces. NumPy only.

Depth cameras, and estimators too, report depths in between at the edge of an object: single
pixels in the air ("flying pixels"), or a smear that leads from the object to what is behind it.
No real surface does that: a step of three hundredths of the depth from pixel to pixel, at a focal
length of 500 pixels, is a surface seen within 4 degrees of its plane.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMEAR_STEP = 0.03


def floating_pixels(depth: NDArray[np.float32], step: float = SMEAR_STEP) -> NDArray[np.bool_]:
    """Tell which pixels belong to no surface.

    Parameters
    ----------
    depth
        (H, W) meters; values that are not finite and positive are holes.
    step
        Largest rise from one pixel of a surface to the next, as a share of depth.

    Returns
    -------
    NDArray[np.bool_]
        (H, W) true where depth rises or falls by more than that to both sides, along rows or
        along columns. A hole on one side counts as a rise, holes on both sides do not: a
        measurement that stands alone contradicts nothing.
    """
    floats = np.zeros(depth.shape, bool)
    measured = np.where(np.isfinite(depth) & (depth > 0.0), depth, np.float32(np.nan))
    for along in (measured, measured.T):
        jump, smooth = _steps(along, np.float32(step))
        alone = ~(_before(smooth) | _after(smooth)) & (_before(jump) | _after(jump))
        floats |= alone if along is measured else alone.T
    return floats


def _steps(
    depth: NDArray[np.float32], step: np.float32
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell where depth jumps and where it goes on from each row to the next; holes do neither."""
    rise = np.abs(depth[1:] - depth[:-1])
    allowed = step * np.minimum(depth[1:], depth[:-1])
    return rise > allowed, rise <= allowed


def _before(steps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.pad(steps, ((1, 0), (0, 0)))


def _after(steps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.pad(steps, ((0, 1), (0, 0)))
