# SPDX-License-Identifier: Apache-2.0
"""The compact student: depth, focal length and sky of one image.

Labels are whatever depth the examples have: rendered, or what a teacher made of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from metric_depth_ros.estimators.learned.compact_inputs import fine_size, resized
from metric_depth_ros.networks.compact_student import (
    MULTIPLE_PX,
    CompactStudent,
    CompactStudentAnswer,
    CompactStudentConfig,
)
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.config import multiples_of, one_of, section_from, within
from metric_depth_ros.training.gradient_loss import spread, ssi_mage
from metric_depth_ros.training.losses import (
    FARTHEST_M,
    NEAREST_M,
    QUANTITIES,
    STUDENT_WEIGHTS,
    laplace_likelihood,
    masked_mean,
)
from metric_depth_ros.training.painted import with_paint
from metric_depth_ros.training.recipes.base import Prepared, Recipe
from metric_depth_ros.training.views import random_view, recolored, restyled
from metric_depth_ros.types import SparsePrompt

_LEAST_SHARE = 0.02  # of the pixels, with a depth
_NEAR_AND_FAR = 10, 90  # percentiles
_ROUNDING = 1e-4


@dataclass(frozen=True)
class CompactStudentOptions:
    """Choices of the recipe.

    Attributes
    ----------
    sizes
        (width, height) that the examples of a step may have, multiples of 32. The network knows
        things by their size in pixels: these should have about the pixels of its canvas.
    quantity
        What of depth is compared: ``'distance_balanced'``, ``'log'``, ``'inverse'`` or
        ``'depth'``.
    error_weight, gradient_weight
        Of the mean absolute error of the quantity, and of its gradients.
    shape_weight
        Of the mean absolute error of log depth once each image's median error is taken from it:
        what an image does show while its scale is still wrong.
    least_relief, longest_focal
        Views are left out whose far tenth is nearer than so many times the near tenth, or whose
        focal length is more than so many image widths: how far a bare wall is, it does not show.
    restyled_share, painted_share
        Images that go through a random filter instead of having their colors changed, and those
        whose surfaces carry marks that are not of depth: what a renderer's surfaces look like
        must not tell distance.
    focal_weight, sky_weight, width_weight
        Of the logarithm of the focal length, of telling the sky, and of the likelihood of the
        width, which moves the width alone.
    """

    sizes: tuple[tuple[int, int], ...] = ((448, 320), (384, 384), (512, 288), (704, 224))
    quantity: str = 'distance_balanced'
    error_weight: float = STUDENT_WEIGHTS[0]
    gradient_weight: float = STUDENT_WEIGHTS[1]
    shape_weight: float = 0.0
    least_relief: float = 1.5
    longest_focal: float = 1.6
    restyled_share: float = 0.0
    painted_share: float = 0.0
    focal_weight: float = 1.0
    sky_weight: float = 0.5
    width_weight: float = 0.1

    def __post_init__(self) -> None:
        one_of('quantity', self.quantity, tuple(QUANTITIES))
        for name in ('error', 'gradient', 'shape', 'focal', 'sky', 'width'):
            within(f'{name}_weight', getattr(self, f'{name}_weight'), 0.0, 1e6)
        within('least_relief', self.least_relief, 1.0, 1e6)
        within('longest_focal', self.longest_focal, 0.0, 1e6)
        within('restyled_share', self.restyled_share, 0.0, 1.0)
        within('painted_share', self.painted_share, 0.0, 1.0)
        multiples_of('sizes', self.sizes, MULTIPLE_PX)


class CompactStudentRecipe(Recipe):
    """Trains a `CompactStudent`.

    Parameters
    ----------
    config
        Shape of the network.
    options
        Choices.
    """

    def __init__(self, config: CompactStudentConfig, options: CompactStudentOptions) -> None:
        super().__init__(options)
        self._config = config
        self._options = options

    def build(self) -> nn.Module:
        """Return the network, which sees a flat scene at first."""
        return CompactStudent(self._config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def model_config(self) -> dict[str, Any]:
        """Return the shape of the network."""
        return self._config.as_model_config()

    def prepare(
        self,
        example: Example,
        size: tuple[int, int] | None,
        rng: np.random.Generator,
        *,
        real: bool,
        augment: bool,
    ) -> Prepared | None:
        """Draw a window, change its colors, and scale it to the network's canvas."""
        if size is not None:
            example = random_view(example, size, rng, mirror=augment)
        if np.isfinite(example.depth).mean() < _LEAST_SHARE:
            return None
        if augment:
            if not self._shows_distance(example):
                return None
            example = self._photographed_otherwise(example, rng)
        height, width = example.depth.shape
        fine = fine_size(width, height, self._config.canvas_px)
        arrays = {
            'images': np.ascontiguousarray(resized(example.image, fine).transpose(2, 0, 1)),
            'depth': cv2.resize(example.depth, fine, interpolation=cv2.INTER_NEAREST),
            'log_focal': np.float32(np.log(example.camera.K[0, 0] / width)),
        }
        return Prepared(example, SparsePrompt.empty(), arrays)

    def _photographed_otherwise(self, example: Example, rng: np.random.Generator) -> Example:
        everywhere = not np.isnan(example.depth).any()
        if everywhere and rng.random() < self._options.painted_share:
            example = with_paint(example, rng)
        filtered = rng.random() < self._options.restyled_share
        image = restyled(example.image, rng) if filtered else recolored(example.image, rng)
        return replace(example, image=image)

    def _shows_distance(self, example: Example) -> bool:
        """Return whether an image can be expected to tell how far things are."""
        known = example.depth[np.isfinite(example.depth) & (example.depth > 0)]
        near, far = np.percentile(known, _NEAR_AND_FAR)
        focal = example.camera.K[0, 0] / example.depth.shape[1]
        return bool(far >= self._options.least_relief * near) and (
            focal <= self._options.longest_focal
        )

    def losses(self, network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the error, its gradients, the focal length, the sky and the width's likelihood.

        Depth is compared by the true focal length: what is wrong with the recovered one is no
        fault of the depth.
        """
        answer = CompactStudentAnswer(*network(batch['images']))
        log_depth = batch['log_focal'].view(-1, 1, 1) - answer.log_inverse[:, 0].float()
        truth: Tensor = batch['depth']
        mask = truth.isfinite() & (truth > 0)
        endless = truth.isposinf()
        truth = truth.where(mask, 1.0).clamp(NEAREST_M, FARTHEST_M)
        quantity = QUANTITIES[self._options.quantity]
        compared = quantity(limited(log_depth).exp()), quantity(truth)
        sky = answer.sky[:, 0].float()
        told = functional.binary_cross_entropy_with_logits(sky, endless.float(), reduction='none')
        parts = {
            'error': masked_mean((compared[0] - compared[1]).abs(), mask),
            'gradient': ssi_mage(*compared, mask),
            'shape': spread(log_depth - truth.log(), mask).deviation,
            'focal': (answer.log_focal - batch['log_focal']).abs(),
            'sky': masked_mean(told, mask | endless),
            'width': laplace_likelihood(
                log_depth.detach(), answer.log_width[:, 0].float(), truth.log(), mask
            ),
        }
        means = {name: part.mean() for name, part in parts.items()}
        total = sum(getattr(self._options, f'{name}_weight') * means[name] for name in means)
        return {'loss': torch.as_tensor(total), **means}

    def predict(self, network: nn.Module, batch: Mapping[str, Any]) -> list[NDArray[np.float32]]:
        """Return depth by the true focal length, also where the network sees sky."""
        answer = CompactStudentAnswer(*network(batch['images']))
        log_depth = batch['log_focal'].view(-1, 1, 1) - answer.log_inverse[:, 0].float()
        return list(log_depth.exp().cpu().numpy())


def limited(log_depth: Tensor) -> Tensor:
    """Return log depth within what the losses tell apart; the gradient passes outside of it too.

    Else a pixel that was once taken for endless would never come back.
    """
    low, high = math.log(NEAREST_M) + _ROUNDING, math.log(FARTHEST_M) - _ROUNDING
    return log_depth.detach().clamp(low, high) + (log_depth - log_depth.detach())


def create(
    network: Mapping[str, Any], options: Mapping[str, Any], where: str
) -> CompactStudentRecipe:
    """Make the recipe of plain values."""
    return CompactStudentRecipe(
        section_from(CompactStudentConfig, network, f'{where}: network'),
        section_from(CompactStudentOptions, options, f'{where}: options'),
    )
