# SPDX-License-Identifier: Apache-2.0
"""MetricAnything Student-PointMap (MoGe-2): metric depth of one image, and its camera."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from metric_depth_ros.estimators.learned.estimator import (
    Adapter,
    Answer,
    Arrays,
    LearnedEstimator,
    focal_tensor,
    image_tensor,
    mask_confidence,
    masked_depth,
)
from metric_depth_ros.estimators.learned.loading import load_network
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch
from metric_depth_ros.geometry.focal import recover_camera
from metric_depth_ros.networks.images import unit_range
from metric_depth_ros.networks.student_pointmap import StudentPointMap, metric_maps
from metric_depth_ros.types import Frame

NAME = 'student_pointmap'


def create(options: EstimatorOptions) -> StudentPointMapEstimator:
    """Make the estimator."""
    network = load_network(NAME, options)
    return StudentPointMapEstimator(NAME, network, StudentPointMapAdapter(), options)


class StudentPointMapEstimator(LearnedEstimator):
    """The network as an `Estimator`."""

    def unmasked(self) -> LearnedEstimator:
        """Return what gives depth at every pixel, sky too: the same network in the same lanes."""
        other = copy.copy(self)
        other._adapter = StudentPointMapAdapter(masks=False)
        return other


class StudentPointMapAdapter(Adapter):
    """The network sees points up to a shift of z, a mask, and the metric scale.

    Parameters
    ----------
    masks
        Whether what the network takes for no surface is beyond range.
    """

    recovers_camera = True

    def __init__(self, *, masks: bool = True) -> None:
        self._masks = masks

    def batch(self, frames: Sequence[Frame]) -> Batch:
        """Take images, and focal lengths where there are cameras."""
        return Batch(image_tensor(frames), focal_tensor(frames))

    def infer(self, network: nn.Module, batch: Batch, scale: float) -> Mapping[str, Tensor]:
        """Run; without a focal length the points come along, to recover it from."""
        student = cast(StudentPointMap, network)
        height, width = batch.images.shape[-2:]
        fov_x_deg = None
        if batch.focal_px is not None:
            fov_x_deg = torch.rad2deg(2.0 * torch.atan(0.5 * width / batch.focal_px))
        tokens = round(student.config.num_tokens_range[1] * scale)
        # Not its infer, which drops the probabilities of the mask.
        maps: dict[str, Tensor] = student(
            unit_range(batch.images), student.token_grid(width, height, num_tokens=tokens)
        )
        # Projected points would only return the first guess of the camera.
        metric = metric_maps(maps, fov_x_deg=fov_x_deg, force_projection=False, apply_mask=False)
        outputs = {'depth': metric['depth']}
        if 'mask' in maps:
            outputs['mask'] = maps['mask']
        if fov_x_deg is None:
            outputs['points'] = metric['points']
        return outputs

    def answer(self, frame: Frame, outputs: Arrays) -> Answer:
        """Return the depth, +Inf where the network masks (sky), and the recovered camera."""
        depth = np.where(outputs['depth'] > 0.0, outputs['depth'], np.float32(np.nan))
        points, mask = outputs.get('points'), outputs.get('mask')
        surface = None if mask is None else (mask > 0.5) & (depth > 0.0)
        if self._masks and mask is not None:
            depth = masked_depth(depth, mask)
        return Answer(
            depth,
            None if points is None else recover_camera(points, surface),
            confidence=None if mask is None else mask_confidence(depth, mask),
        )
