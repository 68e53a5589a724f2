# SPDX-License-Identifier: Apache-2.0
"""The compact student as an estimator: metric depth of one image, and its camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from metric_depth_ros.estimators.learned.compact_inputs import fine_size, resized
from metric_depth_ros.estimators.learned.compact_output import confidence_of, enlarged
from metric_depth_ros.estimators.learned.estimator import (
    Adapter,
    Answer,
    Arrays,
    LearnedEstimator,
    centered_pinhole,
)
from metric_depth_ros.estimators.learned.loading import load_network
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch
from metric_depth_ros.networks.compact_student import CompactStudent, CompactStudentAnswer
from metric_depth_ros.types import Frame

NAME = 'compact_student'

_LOG_LIMIT = 7.0  # of canonical inverse depth: a millimeter and a kilometer
# Only what is sky nine times in ten is called endless: a wall taken for sky is a collision.
_SKY_LOGIT = float(np.log(9.0))


def create(options: EstimatorOptions) -> LearnedEstimator:
    """Make the estimator."""
    network = load_network(NAME, options)
    adapter = CompactStudentAdapter.of(network, options.resolution_scale)
    return LearnedEstimator(NAME, network, adapter, options, one_resolution=True)


class CompactStudentAdapter(Adapter):
    """The network sees canonical inverse depth, and the focal length that makes it metric.

    Parameters
    ----------
    canvas_px
        Images are scaled down to about so many pixels.
    """

    recovers_camera = True

    def __init__(self, canvas_px: int) -> None:
        self._canvas_px = canvas_px

    @classmethod
    def of(cls, network: nn.Module, scale: float) -> CompactStudentAdapter:
        """Return the adapter of a network, for a multiple of the pixels that it is meant for."""
        return cls(round(cast(CompactStudent, network).config.canvas_px * scale))

    def batch(self, frames: Sequence[Frame]) -> Batch:
        """Scale the images down; the network needs no camera."""
        height, width = frames[0].image.shape[:2]
        size = fine_size(width, height, self._canvas_px)
        images = np.stack([resized(frame.image, size) for frame in frames])
        return Batch(torch.from_numpy(images).permute(0, 3, 1, 2))

    def infer(self, network: nn.Module, batch: Batch, scale: float) -> Mapping[str, Tensor]:
        """Run at the one resolution that the images have."""
        answer = CompactStudentAnswer(*network(batch.images))
        return {
            name: tensor if tensor.ndim == 1 else tensor[:, 0]
            for name, tensor in answer._asdict().items()
        }

    def answer(self, frame: Frame, outputs: Arrays) -> Answer:
        """Return depth by the frame's focal length, or else by the recovered one."""
        height, width = frame.image.shape[:2]
        shape = height, width
        focal_px = float(np.exp(outputs['log_focal'])) * width
        camera = frame.camera or centered_pinhole(width, height, focal_px)
        if camera is None:
            return Answer(np.full(shape, np.nan, np.float32), note='no focal length')
        # Between pixels of a plane in space inverse depth is linear, depth is not.
        inverse = enlarged(np.exp(outputs['log_inverse'].clip(-_LOG_LIMIT, _LOG_LIMIT)), shape)
        depth = np.float32(camera.K[0, 0] / width) / inverse
        depth[enlarged(outputs['sky'], shape) > _SKY_LOGIT] = np.inf
        return Answer(
            depth, camera, confidence=confidence_of(outputs['log_width'], outputs['sky'], shape)
        )
