# SPDX-License-Identifier: Apache-2.0
"""LingBot-Depth: completes the depth of RGB-D cameras and of sparse points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from torch import Tensor, nn

from metric_depth_ros.estimators.learned.estimator import (
    Answer,
    Arrays,
    LearnedEstimator,
    has_prompt,
    image_tensor,
    prompt_maps,
)
from metric_depth_ros.estimators.learned.loading import load_network
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch
from metric_depth_ros.networks.lingbot_depth import LingBotDepth
from metric_depth_ros.types import Frame

NAME = 'lingbot_depth'


def create(options: EstimatorOptions, variant: str = '') -> LearnedEstimator:
    """Make the estimator; ``'completion'`` is the variant tuned for sparse points."""
    name = f'{NAME}:{variant}' if variant else NAME
    network = load_network(NAME, options, variant)
    return LearnedEstimator(name, network, LingBotDepthAdapter(), options)


class LingBotDepthAdapter:
    """The network sees the image and the rasterized prompt."""

    recovers_camera = False

    def batch(self, frames: Sequence[Frame]) -> Batch:
        """Take images and prompts."""
        return Batch(image_tensor(frames), prompts={'depth': prompt_maps(frames)})

    def infer(self, network: nn.Module, batch: Batch, scale: float) -> Mapping[str, Tensor]:
        """Run on `scale` times the usual number of image tokens."""
        model = cast(LingBotDepth, network)
        maps = model.infer(
            batch.images,
            batch.prompts['depth'],
            num_tokens=round(model.config.num_tokens_range[1] * scale),
        )
        return {'depth': maps['depth']}

    def answer(self, frame: Frame, outputs: Arrays) -> Answer:
        """Return the depth, +Inf where the network masks; without a prompt it is monocular."""
        depth = np.where(outputs['depth'] > 0.0, outputs['depth'], np.float32(np.nan))
        return Answer(depth, note='' if has_prompt(frame) else 'no prompt')
