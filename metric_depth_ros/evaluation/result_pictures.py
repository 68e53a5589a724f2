# SPDX-License-Identifier: Apache-2.0
"""The pictures that show one result: image, prompt, depth, error, cloud."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.evaluation.pictures import (
    Picture,
    cloud_picture,
    colorize_depth,
    confidence_picture,
    depth_range,
    error_map,
    fit,
    grow_points,
    overlay_prompt,
)
from metric_depth_ros.types import DepthEstimate, Frame

_WIDTH_PX, _HEIGHT_PX = 640, 480
_SPARSE_BELOW = 0.5  # share of pixels; sparser values are drawn as dots


def result_pictures(
    frame: Frame,
    estimate: DepthEstimate,
    ground_truth: NDArray[np.float32] | None = None,
    *,
    with_confidence: bool = False,
) -> dict[str, Picture]:
    """Return pictures by caption, each (h, w, 3) uint8 RGB of at most 640x480.

    Parameters
    ----------
    frame
        Image, camera and prompt; without a camera there is no cloud picture.
    estimate
        What an estimator made of it.
    ground_truth
        (H, W) meters, NaN where unknown, or None.
    with_confidence
        Whether to show the confidence, where the estimate has one.
    """
    limits = depth_range(estimate.depth if ground_truth is None else ground_truth)
    pictures = {'image': frame.image}
    if frame.prompt is not None:
        radius = _dot_radius(len(frame.prompt), estimate.depth.shape)
        pictures['prompt'] = overlay_prompt(frame.image, frame.prompt, limits, radius)
    pictures[f'depth, {limits[0]:.1f} to {limits[1]:.1f} m'] = colorize_depth(
        estimate.depth, limits
    )
    if with_confidence and estimate.confidence is not None:
        pictures['confidence'] = confidence_picture(estimate.confidence)
    if ground_truth is not None:
        radius = _dot_radius(int(np.isfinite(ground_truth).sum()), ground_truth.shape)
        visible = grow_points(ground_truth, radius) if radius else ground_truth
        pictures['ground truth'] = colorize_depth(visible, limits)
        pictures['relative error, red from 25 %'] = error_map(estimate.depth, ground_truth, radius)
    camera = estimate.camera or frame.camera
    if camera is not None:
        pictures['cloud'] = cloud_picture(camera, estimate.depth, frame.image)
    return {name: fit(picture, _WIDTH_PX, _HEIGHT_PX) for name, picture in pictures.items()}


def _dot_radius(count: int, shape: tuple[int, ...]) -> int:
    """Return how far to grow points so that they stay visible when the picture is scaled down."""
    share = count / (shape[0] * shape[1])
    if share > _SPARSE_BELOW:
        return 0
    shrink = max(1.0, shape[1] / _WIDTH_PX)
    return max(1, round(shrink * (3 if share < 0.002 else 1.5 if share < 0.05 else 0.75)))
