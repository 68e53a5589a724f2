# SPDX-License-Identifier: Apache-2.0
"""Depth as a picture to look at: turbo in inverse depth, near is red, unknown is black."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SAMPLE_STEP = 8  # percentiles of every 8th pixel of every 8th row are close enough


def depth_picture(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (H, W, 3) BGR; the range is that of the frame without its outermost 2 percent."""
    known = depth > 0.0  # false for NaN; +Inf becomes 0, the far end
    every = slice(None, None, _SAMPLE_STEP)
    with np.errstate(divide='ignore', over='ignore', invalid='ignore'):
        nearness = np.float32(1.0) / depth
        sample = nearness[every, every][known[every, every]]
        sample = sample[np.isfinite(sample)]
        far, near = np.percentile(sample, (2.0, 98.0)) if sample.size else (0.0, 1.0)
        # As float32: percentiles are float64, and would make the whole image so.
        offset, scale = np.float32(far), np.float32(255.0 / max(near - far, 1e-9))
        level = np.clip((nearness - offset) * scale, 0.0, 255.0)
    level = np.where(known, level, np.float32(0.0))
    picture = cv2.applyColorMap(level.astype(np.uint8), cv2.COLORMAP_TURBO)
    picture[~known] = 0
    return np.asarray(picture, np.uint8)
