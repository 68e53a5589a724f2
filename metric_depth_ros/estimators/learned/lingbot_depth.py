# SPDX-License-Identifier: Apache-2.0
"""LingBot-Depth: completes the depth of RGB-D cameras and of sparse points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from torch import Tensor, nn

from metric_depth_ros.estimators.learned.estimator import (
    Adapter,
    Answer,
    Arrays,
    LearnedEstimator,
    has_prompt,
    image_tensor,
    mask_confidence,
    masked_depth,
    prompt_maps,
)
from metric_depth_ros.estimators.learned.loading import load_network
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch
from metric_depth_ros.networks.images import unit_range
from metric_depth_ros.networks.lingbot_depth import LingBotDepth
from metric_depth_ros.types import Frame

NAME = 'lingbot_depth'


def create(options: EstimatorOptions, variant: str = '') -> LearnedEstimator:
    """Make the estimator; ``'completion'`` is the variant tuned for sparse points."""
    name = f'{NAME}:{variant}' if variant else NAME
    network = load_network(NAME, options, variant)
    return LearnedEstimator(name, network, LingBotDepthAdapter(), options)


class LingBotDepthAdapter(Adapter):
    """The network sees the image and the rasterized prompt."""

    def batch(self, frames: Sequence[Frame]) -> Batch:
        """Take images and prompts."""
        return Batch(image_tensor(frames), prompts={'depth': prompt_maps(frames)})

    def infer(self, network: nn.Module, batch: Batch, scale: float) -> Mapping[str, Tensor]:
        """Run on `scale` times the usual number of image tokens."""
        model = cast(LingBotDepth, network)
        height, width = batch.images.shape[-2:]
        tokens = round(model.config.num_tokens_range[1] * scale)
        # Not its infer, which drops the probabilities of the mask.
        maps: dict[str, Tensor] = model(
            unit_range(batch.images),
            batch.prompts['depth'],
            model.token_grid(width, height, num_tokens=tokens),
        )
        return maps

    def answer(self, frame: Frame, outputs: Arrays) -> Answer:
        """Return the depth, +Inf where the network masks; without a prompt it is monocular."""
        depth = np.where(outputs['depth'] > 0.0, outputs['depth'], np.float32(np.nan))
        mask = outputs.get('mask')
        if mask is not None:
            depth = masked_depth(depth, mask)
        return Answer(
            depth,
            note='' if has_prompt(frame) else 'no prompt',
            confidence=None if mask is None else mask_confidence(depth, mask),
        )
