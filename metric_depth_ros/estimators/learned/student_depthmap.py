# SPDX-License-Identifier: Apache-2.0
"""MetricAnything Student-DepthMap: metric depth of one image with a known focal length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from metric_depth_ros.estimators.learned.estimator import (
    Adapter,
    Answer,
    Arrays,
    LearnedEstimator,
    beyond_limit,
    focal_tensor,
    image_tensor,
)
from metric_depth_ros.estimators.learned.known_camera import camera_of
from metric_depth_ros.estimators.learned.loading import load_network
from metric_depth_ros.estimators.learned.presets import canvas_side
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch
from metric_depth_ros.networks.student_depthmap import StudentDepthMap
from metric_depth_ros.types import Frame

NAME = 'student_depthmap'


def create(options: EstimatorOptions) -> LearnedEstimator:
    """Make the estimator."""
    return LearnedEstimator(NAME, load_network(NAME, options), StudentDepthMapAdapter(), options)


class StudentDepthMapAdapter(Adapter):
    """The network sees canonical inverse depth, which a focal length makes metric."""

    def batch(self, frames: Sequence[Frame]) -> Batch:
        """Take images and focal lengths.

        Raises
        ------
        InputError
            `camera_missing`.
        """
        for frame in frames:
            camera_of(NAME, frame)
        return Batch(image_tensor(frames), focal_tensor(frames))

    def infer(self, network: nn.Module, batch: Batch, scale: float) -> Mapping[str, Tensor]:
        """Run on a canvas of `scale` times the usual area."""
        student = cast(StudentDepthMap, network)
        return student.infer(
            batch.images,
            batch.focal_px,
            canvas=canvas_side(student, scale),
            max_crops_per_batch=batch.crops,
        )

    def answer(self, frame: Frame, outputs: Arrays) -> Answer:
        """Return the depth; what reaches the limit of the network is beyond range."""
        return Answer(beyond_limit(outputs['depth'], float(outputs['farthest_m'])))
