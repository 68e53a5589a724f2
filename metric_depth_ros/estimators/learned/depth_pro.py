# SPDX-License-Identifier: Apache-2.0
"""Apple Depth Pro: metric depth of one image; recovers the focal length where none is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.learned.estimator import (
    Adapter,
    Answer,
    Arrays,
    LearnedEstimator,
    beyond_limit,
    centered_pinhole,
    focal_tensor,
    image_tensor,
)
from metric_depth_ros.estimators.learned.loading import load_network
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch
from metric_depth_ros.networks.depth_pro import INVERSE_DEPTH_LIMITS, DepthPro
from metric_depth_ros.types import Frame

NAME = 'depth_pro'


def create(options: EstimatorOptions) -> LearnedEstimator:
    """Make the estimator.

    Raises
    ------
    InputError
        A resolution scale: the network fits one canvas only.
    """
    if options.resolution_scale != 1.0:
        raise InputError(
            'estimator_option',
            f'resolution_scale is {options.resolution_scale:g}, but depth_pro works at one '
            'resolution only: set it to 1, or use student_depthmap.',
        )
    return LearnedEstimator(
        NAME, load_network(NAME, options), DepthProAdapter(), options, one_resolution=True
    )


class DepthProAdapter(Adapter):
    """The network sees canonical inverse depth and the field of view."""

    recovers_camera = True

    def batch(self, frames: Sequence[Frame]) -> Batch:
        """Take images, and focal lengths where there are cameras."""
        return Batch(image_tensor(frames), focal_tensor(frames))

    def infer(self, network: nn.Module, batch: Batch, scale: float) -> Mapping[str, Tensor]:
        """Run; the field of view only where it is not known."""
        return cast(DepthPro, network).infer(
            batch.images, batch.focal_px, max_crops_per_batch=batch.crops
        )

    def answer(self, frame: Frame, outputs: Arrays) -> Answer:
        """Return depth and camera; what reaches the limit of the network is beyond range.

        Without a focal length, known or recovered, it is all NaN: nothing tells the scale.
        """
        height, width = frame.image.shape[:2]
        depth = outputs['depth']
        camera = centered_pinhole(width, height, float(outputs['focallength_px']))
        if camera is None:
            return Answer(np.full_like(depth, np.nan), note='no focal length')
        return Answer(beyond_limit(depth, 1.0 / INVERSE_DEPTH_LIMITS[0]), camera)
