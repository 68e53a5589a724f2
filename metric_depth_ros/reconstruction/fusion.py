# SPDX-License-Identifier: Apache-2.0
"""Posed frames through an estimator into a surface, a frame at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.geometry.edges import floating_pixels
from metric_depth_ros.geometry.unprojection import depth_to_points
from metric_depth_ros.geometry.voxels import voxel_means
from metric_depth_ros.reconstruction.posed_frame import PosedFrame
from metric_depth_ros.reconstruction.surface import Surface
from metric_depth_ros.reconstruction.volume import Volume
from metric_depth_ros.types import DepthEstimate


def fuse(
    frames: Iterable[PosedFrame],
    depth_of: Callable[[PosedFrame], DepthEstimate],
    volume: Volume,
    finished: Callable[[Surface], None],
    min_confidence: float = 0.0,
) -> tuple[int, int]:
    """Fuse frames; hand out every part of the surface once, when the camera has left it.

    Parameters
    ----------
    frames
        What to fuse, in order of time.
    depth_of
        Depth of a frame.
    volume
        Where to fuse it.
    finished
        Takes the parts, the last ones when the frames end.
    min_confidence
        Depth below this confidence is left out.

    Returns
    -------
    tuple
        Number of frames that were fused, and of those left out since nobody knows their camera.
    """
    fused = left_out = 0
    for posed in frames:
        if not integrate(volume, posed, depth_of(posed), min_confidence):
            left_out += 1
            continue
        fused += 1
        part = volume.release_far(posed.T_world_camera[:3, 3])
        if len(part.vertices):
            finished(part)
    finished(volume.surface())
    return fused, left_out


def integrate(
    volume: Volume, posed: PosedFrame, estimate: DepthEstimate, min_confidence: float = 0.0
) -> bool:
    """Fuse one estimate, each pixel with its confidence, without what floats between surfaces.

    Returns
    -------
    bool
        False where neither the frame nor the estimate has a camera: nothing was fused.
    """
    camera = estimate.camera or posed.frame.camera
    if camera is None:
        return False
    depth = np.where(floating_pixels(estimate.depth), np.float32(np.nan), estimate.depth)
    weight = estimate.confidence
    if weight is not None:
        weight = np.where(weight >= min_confidence, weight, np.float32(0.0))
    volume.integrate(depth, posed.frame.image, camera, posed.T_world_camera, weight)
    return True


def estimated(estimator: Estimator) -> Callable[[PosedFrame], DepthEstimate]:
    """Return what answers with the depth of an estimator."""
    return lambda posed: estimator.estimate(posed.frame)


def measured(posed: PosedFrame) -> DepthEstimate:
    """Return the depth that the sensors measured and no other."""
    frame = posed.frame
    height, width = frame.image.shape[:2]
    depth: NDArray[np.float32] = np.full((height, width), np.nan, np.float32)
    if frame.prompt is not None:
        depth = frame.prompt.to_map(width, height)
    return DepthEstimate(depth, None, frame.camera, 'measured')


def published(posed: PosedFrame) -> DepthEstimate:
    """Return the depth that a node has published of the frame."""
    assert posed.published is not None
    return posed.published


def true_points(
    frames: Iterable[PosedFrame], max_depth_m: float, spacing_m: float
) -> NDArray[np.float32]:
    """Return (N, 3) points of the surface that the frames truly see; none without ground truth.

    Parameters
    ----------
    frames
        What was fused.
    max_depth_m
        Depth beyond is left out, as in the fusion.
    spacing_m
        A cube of this edge holds one point of a frame at most.
    """
    clouds = [np.empty((0, 3), np.float32)]
    for posed in frames:
        camera, truth = posed.frame.camera, posed.truth
        if camera is None or truth is None:
            continue
        with np.errstate(invalid='ignore'):
            near = np.where(truth <= max_depth_m, truth, np.float32(np.nan))
        T = posed.T_world_camera
        points = depth_to_points(camera, near) @ T[:3, :3].T + T[:3, 3]
        clouds.append(voxel_means(points.astype(np.float32), spacing_m))
    return np.concatenate(clouds)
