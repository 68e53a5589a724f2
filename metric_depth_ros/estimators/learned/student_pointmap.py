# SPDX-License-Identifier: Apache-2.0
"""MetricAnything Student-PointMap (MoGe-2): metric depth of one image, and its camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from metric_depth_ros.estimators.learned.estimator import (
    Answer,
    Arrays,
    LearnedEstimator,
    focal_tensor,
    image_tensor,
)
from metric_depth_ros.estimators.learned.loading import load_network
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch
from metric_depth_ros.geometry.focal import recover_camera
from metric_depth_ros.networks.student_pointmap import StudentPointMap
from metric_depth_ros.types import Frame

NAME = 'student_pointmap'


def create(options: EstimatorOptions) -> LearnedEstimator:
    """Make the estimator."""
    return LearnedEstimator(NAME, load_network(NAME, options), StudentPointMapAdapter(), options)


class StudentPointMapAdapter:
    """The network sees points up to a shift of z, a mask, and the metric scale."""

    recovers_camera = True

    def batch(self, frames: Sequence[Frame]) -> Batch:
        """Take images, and focal lengths where there are cameras."""
        return Batch(image_tensor(frames), focal_tensor(frames))

    def infer(self, network: nn.Module, batch: Batch, scale: float) -> Mapping[str, Tensor]:
        """Run; without a focal length the points come along, to recover it from."""
        student = cast(StudentPointMap, network)
        width = batch.images.shape[-1]
        fov_x_deg = None
        if batch.focal_px is not None:
            fov_x_deg = torch.rad2deg(2.0 * torch.atan(0.5 * width / batch.focal_px))
        maps = student.infer(
            batch.images,
            fov_x_deg=fov_x_deg,
            num_tokens=round(student.config.num_tokens_range[1] * scale),
            force_projection=False,  # projected points would only return the first guess
        )
        wanted = ('depth', 'points') if fov_x_deg is None else ('depth',)
        return {name: maps[name] for name in wanted}

    def answer(self, frame: Frame, outputs: Arrays) -> Answer:
        """Return the depth, +Inf where the network masks (sky), and the recovered camera."""
        depth = np.where(outputs['depth'] > 0.0, outputs['depth'], np.float32(np.nan))
        points = outputs.get('points')
        return Answer(depth, None if points is None else recover_camera(points))
