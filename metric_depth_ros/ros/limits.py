# SPDX-License-Identifier: Apache-2.0
"""An estimate within the limits of the output: what is published of it. Imports no rclpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.edges import floating_pixels
from metric_depth_ros.types import CameraModel, DepthEstimate


@dataclass(frozen=True)
class LimitedDepth:
    """Depth as the output contract has it, with the camera that it belongs to."""

    depth: NDArray[np.float32]
    camera: CameraModel | None


def limited_depth(
    estimate: DepthEstimate,
    max_range_m: float,
    min_confidence: float,
    edge_filter: float = 0.0,
) -> LimitedDepth:
    """Apply the limits of the output: +Inf beyond range (REP-117), NaN where not trusted.

    Depth is never clipped to the limit. Values that are not positive are unknown. With an
    `edge_filter`, so is what floats between two surfaces (`geometry.edges`).
    """
    depth = estimate.depth
    beyond = depth > max_range_m
    with np.errstate(invalid='ignore'):
        unknown = depth <= 0.0
    if min_confidence > 0.0 and estimate.confidence is not None:
        unknown |= ~(estimate.confidence >= min_confidence)  # true of NaN, too
    if edge_filter > 0.0:
        unknown |= floating_pixels(depth, edge_filter)
    if beyond.any() or unknown.any():
        depth = depth.copy()
        depth[beyond] = np.inf
        depth[unknown] = np.nan
    return LimitedDepth(depth, estimate.camera)
