# SPDX-License-Identifier: Apache-2.0
"""Points as structure from motion finds them: at corners, noisier with depth, some plain wrong.

May import types, NumPy and OpenCV.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.simulation.sensors.patterns import at_pixels, valid
from metric_depth_ros.types import SparsePrompt


def triangulated_corners(
    depth: NDArray[np.float32],
    image: NDArray[np.uint8],
    count: int,
    rng: np.random.Generator,
    relative_noise: float = 0.01,
    outliers: float = 0.03,
) -> SparsePrompt:
    """Return at most `count` points at the corners of an image.

    Parameters
    ----------
    depth, image
        (H, W) meters and (H, W, 3) uint8.
    count
        Corners to look for.
    rng
        Source of the noise.
    relative_noise
        One standard deviation of depth at the median depth, relative; it grows in proportion to
        depth, since all points are triangulated over one baseline.
    outliers
        Share of points matched to something else: their depth is anywhere in the scene's range.
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    found = cv2.goodFeaturesToTrack(gray, count, 0.005, 3)
    corners = np.empty((0, 2), np.intp) if found is None else found[:, 0].astype(np.intp)
    # Tracks wander off the corner by a pixel, and at edges onto the other surface.
    limit = (depth.shape[1] - 1, depth.shape[0] - 1)
    corners = np.clip(corners + rng.integers(-1, 2, corners.shape), 0, limit)
    pixel = np.unique(corners[:, 1] * depth.shape[1] + corners[:, 0])
    pixel = pixel[valid(depth).reshape(-1)[pixel]]
    if not len(pixel):
        return SparsePrompt.empty()
    exact = at_pixels(depth, pixel)
    relative = relative_noise * exact.depth / np.median(exact.depth)
    noisy = exact.depth / np.maximum(1.0 + relative * rng.standard_normal(len(exact)), 0.2)
    wrong = rng.random(len(exact)) < outliers
    near, far = np.log(np.quantile(exact.depth, (0.02, 0.98)))
    anywhere = np.exp(rng.uniform(near, far, len(exact)))
    measured = np.where(wrong, anywhere, noisy).astype(np.float32)
    return SparsePrompt(exact.uv, measured, exact.sigma, exact.source)
