# SPDX-License-Identifier: Apache-2.0
"""The papers' student: depth of one image, learned from a teacher's labels.

Its labels are whatever depth the examples have: rendered, or written by ``pseudo-label``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.alignment import inverse_depth
from metric_depth_ros.networks.student_depthmap import (
    DLOG,
    INVERSE_DEPTH_LIMITS,
    StudentDepthMap,
    StudentDepthMapConfig,
)
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.config import multiples_of, one_of, section_from, within
from metric_depth_ros.training.gradient_loss import ssi_mage
from metric_depth_ros.training.losses import (
    FARTHEST_M,
    NEAREST_M,
    QUANTITIES,
    STUDENT_WEIGHTS,
    masked_mean,
    student_loss,
)
from metric_depth_ros.training.recipes.base import Prepared, Recipe, freeze, pyramid_from
from metric_depth_ros.training.recipes.square_canvas import (
    at_truth,
    canvases,
    drawn_view,
    focal_share,
    listed,
    open_rectifier,
    prepared_frame,
)
from metric_depth_ros.types import SparsePrompt

_ROUNDING = 1e-4


@dataclass(frozen=True)
class StudentOptions:
    """Choices of the recipe.

    Attributes
    ----------
    quantity
        What of depth is compared: ``'distance_balanced'`` is 1 - ln(d) / ln(`farthest_m`);
        ``'log'``, ``'inverse'`` and ``'depth'`` are for the ablation.
    farthest_m
        The constant C: depth beyond, and the sky of what is not `real`, counts as this. That of
        the network where its `head_param` is ``'dlog'``, and then of canonical depth, which is
        compared in place of the metric one: beyond it such a head has no answer.
    sizes
        (width, height) of random windows; none for whole examples in their own sizes.
    median_deviation
        SSI-MAGE divides by the median of the deviations, as the paper's formula has it, instead
        of their mean, as its text has it.
    """

    quantity: str = 'distance_balanced'
    farthest_m: float = FARTHEST_M
    sizes: tuple[tuple[int, int], ...] = ()
    median_deviation: bool = False

    def __post_init__(self) -> None:
        one_of('quantity', self.quantity, tuple(QUANTITIES))
        within('farthest_m', self.farthest_m, 1.0, 1e4)
        if self.sizes:
            multiples_of('sizes', self.sizes, 1)


class _Limit(torch.autograd.Function):
    """Keep values within limits, outside of which the gradients pass that lead back.

    Without them an answer that is once outside would never come back; with the others it would
    go ever farther.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(values)
        ctx.limits = low, high
        return values.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (values,) = ctx.saved_tensors
        low, high = ctx.limits
        passes = ((values >= low) | (gradient < 0.0)) & ((values <= high) | (gradient > 0.0))
        return gradient.where(passes, 0.0), None, None


class _Rectifier(nn.Module):
    """Answers as the usual one, and lets the gradients pass that open it."""

    def forward(self, values: Tensor) -> Tensor:
        """Return what is positive, and 0 for the rest."""
        return _limited(values, 0.0, math.inf)


def _limited(values: Tensor, low: float, high: float) -> Tensor:
    limited: Tensor = _Limit.apply(values, low, high)
    return limited


class StudentRecipe(Recipe):
    """Trains a `StudentDepthMap`.

    Parameters
    ----------
    config
        Shape of the network.
    options
        Choices; their `farthest_m` is that of a network whose head answers D_log.
    """

    backbone_prefixes: tuple[str, ...] = ('encoder.patch_encoder.',)

    def __init__(self, config: StudentDepthMapConfig, options: StudentOptions) -> None:
        super().__init__(options)
        self._config = config
        self._options = options

    def build(self) -> nn.Module:
        """Return the network, which answers about a meter at first."""
        network = StudentDepthMap(self._config)
        open_rectifier(network.head)
        cast(nn.Sequential, network.head)[-1] = _Rectifier()
        freeze(network, 'mask_token')
        return network

    def model_config(self) -> dict[str, Any]:
        """Return the shape of the network."""
        return asdict(self._config)

    def prepare(
        self,
        example: Example,
        size: tuple[int, int] | None,
        rng: np.random.Generator,
        *,
        real: bool,
        augment: bool,
    ) -> Prepared | None:
        """Draw a window."""
        view = drawn_view(example, size, rng, augment=augment)
        if not np.isfinite(view.depth).any():
            return None
        return prepared_frame(view, SparsePrompt.empty(), real=real)

    def collate(self, prepared: Sequence[Prepared]) -> dict[str, Any]:
        """Keep examples of unlike sizes in lists."""
        return listed(prepared)

    def losses(self, network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the error of the chosen quantity, with its gradients."""
        answers = network(canvases(network, batch['frame']))
        losses = []
        for (answer, truth), frame in zip(at_truth(answers, batch), batch['frame'], strict=True):
            share = focal_share(frame)
            if self._config.head_param == DLOG:
                truth = truth / share
            else:
                answer = answer / share
            losses.append(self.loss_of(self.depth_of(answer), truth, ~truth.isnan()))
        return {'loss': torch.cat(losses).nanmean()}

    def predict(self, network: nn.Module, batch: Mapping[str, Any]) -> list[NDArray[np.float32]]:
        """Return depth in the sizes of the images."""
        answers = network(canvases(network, batch['frame']))
        return [
            (1.0 / (answer / focal_share(frame)).clamp(*INVERSE_DEPTH_LIMITS))[0].cpu().numpy()
            for (answer, _), frame in zip(at_truth(answers, batch), batch['frame'], strict=True)
        ]

    def depth_of(self, inverse: Tensor) -> Tensor:
        """Return depth up to the farthest; what is taken for farther can still come nearer."""
        low, high = (1.0 + _ROUNDING) / self._options.farthest_m, (1.0 - _ROUNDING) / NEAREST_M
        return _limited(inverse, low, high).reciprocal()

    def loss_of(self, depth: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of depth, in the chosen quantity."""
        # Limited as the answer is: sky that is taken for endless has no error.
        known = self.depth_of(inverse_depth(truth))
        farthest, median = self._options.farthest_m, self._options.median_deviation
        if self._options.quantity == 'distance_balanced':
            return student_loss(depth, known, mask, farthest, median_deviation=median)
        error_weight, gradient_weight = STUDENT_WEIGHTS
        quantity = QUANTITIES[self._options.quantity]
        compared = quantity(depth), quantity(known)
        error = masked_mean((compared[0] - compared[1]).abs(), mask)
        return error_weight * error + gradient_weight * ssi_mage(
            *compared, mask, median_deviation=median
        )


def create(network: Mapping[str, Any], options: Mapping[str, Any], where: str) -> StudentRecipe:
    """Make the recipe of plain values."""
    config = pyramid_from(StudentDepthMapConfig, network, f'{where}: network')
    if config.head_param == DLOG:
        options = {'farthest_m': config.farthest_m, **options}
    chosen = section_from(StudentOptions, options, f'{where}: options')
    if config.head_param == DLOG and config.farthest_m != chosen.farthest_m:
        raise InputError(
            'training_config',
            f'{where}: farthest_m of the network is {config.farthest_m:g} and that of the options '
            f'{chosen.farthest_m:g}; with head_param {DLOG} they are one constant: set both to '
            'the same.',
        )
    return StudentRecipe(config, chosen)
