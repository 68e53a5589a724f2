# SPDX-License-Identifier: Apache-2.0
"""LiDAR clouds to prompts: projection, occlusion clean-up, range noise.

Some drivers and data sets project the cloud themselves, and hand over a sparse depth image.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.distortion import FloatArray
from metric_depth_ros.geometry.projection import ProjectedPoints, hidden_points, project_cloud
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.prompting.depth_image import prompt_from_registered_depth
from metric_depth_ros.types import Source, SparsePrompt


def prompt_from_cloud(
    camera: CameraModel,
    xyz: FloatArray,
    T_camera_sensor: Transform,
    *,
    sigma_m: float = 0.02,
    sigma_rel: float = 0.005,
    min_depth_m: float = 0.1,
    max_depth_m: float = 250.0,
    remove_occluded: bool = True,
) -> SparsePrompt:
    """Project a LiDAR cloud into a camera as a prompt.

    Parameters
    ----------
    camera
        Camera of the image.
    xyz
        (N, 3) meters in the sensor frame; rows that are not finite are dropped.
    T_camera_sensor
        (4, 4) transform from the sensor frame to the camera optical frame.
    sigma_m, sigma_rel
        Range noise: one standard deviation is ``hypot(sigma_m, sigma_rel * depth)``. The relative
        part stands for calibration error and for the width of the beam.
    min_depth_m, max_depth_m
        Points outside this depth range are dropped (own vehicle, far noise).
    remove_occluded
        Drop points that the camera cannot see because a nearer surface hides them.

    Returns
    -------
    SparsePrompt
        At most one point a pixel.
    """
    seen = project_cloud(
        camera,
        xyz,
        T_camera_sensor,
        min_depth_m=min_depth_m,
        max_depth_m=max_depth_m,
        remove_occluded=remove_occluded,
    )
    return prompt_from_projection(seen, sigma_m=sigma_m, sigma_rel=sigma_rel)


def prompt_from_projection(
    seen: ProjectedPoints, *, sigma_m: float = 0.02, sigma_rel: float = 0.005
) -> SparsePrompt:
    """Return projected LiDAR points as a prompt; parameters as in `prompt_from_cloud`."""
    sigma = _sigma(seen.depth, sigma_m, sigma_rel)
    source = np.full(len(seen.depth), Source.LIDAR, np.uint8)
    return SparsePrompt(seen.uv, seen.depth, sigma, source)


def prompt_from_projected_cloud(
    depth: NDArray[np.float32],
    *,
    sigma_m: float = 0.02,
    sigma_rel: float = 0.005,
    min_depth_m: float = 0.1,
    max_depth_m: float = 250.0,
    remove_occluded: bool = True,
    source: Source = Source.LIDAR,
) -> SparsePrompt:
    """Take the points of a cloud that somebody has projected into the image already.

    Parameters
    ----------
    depth
        (H, W) meters along the optical Z axis; NaN, Inf, 0 and values out of range are holes.
    sigma_m, sigma_rel, min_depth_m, max_depth_m, remove_occluded
        As in `prompt_from_cloud`. What is hidden is told from the other points alone.
    source
        What the points are marked as.

    Returns
    -------
    SparsePrompt
        One point a pixel that has one, in row-major order.
    """
    prompt = prompt_from_registered_depth(
        depth, min_depth_m=min_depth_m, max_depth_m=max_depth_m, source=source
    )
    prompt = replace(prompt, sigma=_sigma(prompt.depth, sigma_m, sigma_rel))
    if not remove_occluded:
        return prompt
    return prompt.subset(~hidden_points(prompt.uv, prompt.depth, depth.shape[1]))


def _sigma(depth: NDArray[np.float32], sigma_m: float, sigma_rel: float) -> NDArray[np.float32]:
    return np.hypot(np.float32(sigma_m), np.float32(sigma_rel) * depth)
