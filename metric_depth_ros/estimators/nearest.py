# SPDX-License-Identifier: Apache-2.0
"""Nearest filling: every pixel takes the depth of the nearest prompt pixel.

The yardstick for speed and the least that any estimator must beat.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.ndimage import distance_transform_edt

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.prompting.radar import vertical_support
from metric_depth_ros.types import DepthEstimate, Frame


class NearestFill(Estimator):
    """Nearest filling by the Euclidean distance transform of the rasterized prompt."""

    name = 'nearest'
    needs_prompt = True

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Fill; all NaN without a prompt. Confidence is 1 at prompt pixels and 0 elsewhere."""
        start = time.perf_counter()
        height, width = frame.image.shape[:2]
        if frame.prompt is None or not len(frame.prompt):
            depth = np.full((height, width), np.nan, np.float32)
            confidence = np.zeros((height, width), np.float32)
        else:
            prompt = vertical_support(frame.prompt, frame.camera)
            sparse = prompt.to_map(width, height)
            empty = np.isnan(sparse)
            nearest = distance_transform_edt(empty, return_distances=False, return_indices=True)
            depth = sparse[tuple(nearest)]
            confidence = (~empty).astype(np.float32)
        elapsed_ms = 1e3 * (time.perf_counter() - start)
        return DepthEstimate(depth, confidence, frame.camera, self.name, {'estimator': elapsed_ms})
