# SPDX-License-Identifier: Apache-2.0
"""Depth as a picture to look at: turbo in inverse depth, near is red, unknown is black."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SAMPLE_STEP = 8  # percentiles of every 8th pixel of every 8th row are close enough


def depth_picture(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (H, W, 3) RGB; the range is that of the frame without its outermost 2 percent."""
    known = depth > 0.0  # false for NaN; +Inf becomes 0, the far end
    with np.errstate(divide='ignore', invalid='ignore'):
        nearness = np.where(known, np.float32(1.0) / depth, np.float32(np.nan))
    sample = nearness[::_SAMPLE_STEP, ::_SAMPLE_STEP]
    sample = sample[np.isfinite(sample)]
    far, near = np.percentile(sample, (2.0, 98.0)) if sample.size else (0.0, 1.0)
    scale = 255.0 / max(near - far, 1e-9)
    level = np.nan_to_num(np.clip((nearness - far) * scale, 0.0, 255.0)).astype(np.uint8)
    picture = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    picture[~known] = 0
    return np.asarray(picture, np.uint8)
