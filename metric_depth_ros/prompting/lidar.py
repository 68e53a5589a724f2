# SPDX-License-Identifier: Apache-2.0
"""LiDAR clouds to prompts: projection, occlusion clean-up, range noise."""

from __future__ import annotations

import numpy as np

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.distortion import FloatArray
from metric_depth_ros.geometry.projection import ProjectedPoints, project_cloud
from metric_depth_ros.geometry.rigid import Transform
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
    sigma = np.hypot(np.float32(sigma_m), np.float32(sigma_rel) * seen.depth)
    source = np.full(len(seen.depth), Source.LIDAR, np.uint8)
    return SparsePrompt(seen.uv, seen.depth, sigma, source)
