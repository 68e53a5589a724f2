# SPDX-License-Identifier: Apache-2.0
"""The papers' teacher: a frozen prior, aligned to a random part of the truth, steers a network.

The prior and its alignment are those of the run-time estimator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metric_depth_ros.estimators.alignment import inverse_depth, prompt_tensor
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator, refuse_unknown
from metric_depth_ros.networks.teacher import (
    INVERSE_DEPTH_LIMITS,
    LEVELS,
    Teacher,
    TeacherConfig,
)
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.simulation.sensors.policy import draw_prompt
from metric_depth_ros.training.config import (
    multiples_of,
    one_of,
    positive,
    section_from,
    within,
)
from metric_depth_ros.training.gradient_loss import ssi_mage
from metric_depth_ros.training.losses import TEACHER_WEIGHTS, absolute_error, teacher_loss
from metric_depth_ros.training.prompts import MASKED_POINTS, masked_prompt
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
from metric_depth_ros.types import Frame, SparsePrompt

UNITS = ('meter', 'prompt')
PROMPTS = ('masked', 'radar')
# Priors that a data worker makes on a processor; the others run where the network does.
_BY_WORKERS = ('nearest', 'classical')
_WITHOUT_SKIP = f'decoder.fusions.{LEVELS - 1}.resnet1.'  # of the coarsest level
_PDSA, _GMDR = 0, 1  # channels of the prompt
_GRAY = 127
_PRIOR = 'key prior'  # where its name comes from
_MOST_POINTS = 10**9


@dataclass(frozen=True)
class TeacherOptions:
    """Choices of the recipe.

    Attributes
    ----------
    prior, prior_weights
        Estimator that gives the shape of the scene, and its checkpoint. The paper's is Depth Pro.
    prompts
        ``'masked'``: random parts of the truth; ``'radar'``: the returns of the example's radar,
        all of them and as they are.
    masked_share
        Of the masked prompts; the rest is what some simulated sensor sees, or nothing at all.
    points
        Least and most points of a masked prompt on the papers' canvas.
    sizes
        (width, height) of random windows; none for whole examples in their own sizes.
    farthest_m
        Truth beyond does not count; None counts all, and rendered sky as inverse depth 0.
    unit
        Inverse depth is compared per ``'meter'``, as in the paper, or per unit of the
        ``'prompt'``, which weighs near and far scenes alike.
    image, pdsa, gmdr, robust
        For the ablation: false makes every image gray, also for the prior; blanks the locally or
        the globally aligned map; or keeps the largest errors on real depth.
    median_deviation
        SSI-MAGE divides by the median of the deviations, as the paper's formula has it, instead
        of their mean, as its text has it.
    """

    prior: str = 'depth_pro'
    prior_weights: str = ''
    prompts: str = 'masked'
    masked_share: float = 0.9
    points: tuple[int, int] = MASKED_POINTS
    sizes: tuple[tuple[int, int], ...] = ()
    farthest_m: float | None = None
    unit: str = 'meter'
    image: bool = True
    pdsa: bool = True
    gmdr: bool = True
    robust: bool = True
    median_deviation: bool = False

    def __post_init__(self) -> None:
        refuse_unknown(self.prior, _PRIOR)
        one_of('unit', self.unit, UNITS)
        one_of('prompts', self.prompts, PROMPTS)
        within('masked_share', self.masked_share, 0.0, 1.0)
        within('points[1]', self.points[1], 0, _MOST_POINTS)
        within('points[0]', self.points[0], 0, self.points[1])
        if self.farthest_m is not None:
            positive('farthest_m', self.farthest_m)
        if self.sizes:
            multiples_of('sizes', self.sizes, 1)


class TeacherRecipe(Recipe):
    """Trains a `Teacher`.

    Parameters
    ----------
    config
        Shape of the network.
    options
        Choices.
    """

    backbone_prefixes: tuple[str, ...] = ('encoder.patch_encoder.',)
    new_prefixes: tuple[str, ...] = ('prompt_branches.',)

    def __init__(self, config: TeacherConfig, options: TeacherOptions) -> None:
        super().__init__(options)
        self.learns_without_scale = options.prompts == 'masked'  # a radar measures meters
        self._config = config
        self._options = options

    def build(self) -> nn.Module:
        """Return the network, which answers about the prompt's median depth at first."""
        network = Teacher(self._config)
        open_rectifier(network.head)
        freeze(network, 'mask_token', _WITHOUT_SKIP)
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
        """Draw window and prompt."""
        view = drawn_view(example, size, rng, augment=augment)
        if not self._options.image:
            view = replace(view, image=np.full_like(view.image, _GRAY))
        prompt = self._draw_prompt(view, rng)
        counts = np.isfinite(view.depth)
        if self._options.farthest_m is not None:
            counts &= view.depth <= self._options.farthest_m
        if prompt is None or not counts.any():
            return None
        prepared = prepared_frame(view, prompt, real=real, metric=view.metric)
        if self._options.prior.partition(':')[0] in _BY_WORKERS:
            prior = self._prior_of(prepared.arrays['frame'])
            return Prepared(view, prompt, {**prepared.arrays, 'prior': prior})
        return prepared

    def collate(self, prepared: Sequence[Prepared]) -> dict[str, Any]:
        """Keep examples of unlike sizes in lists."""
        return listed(prepared)

    def losses(self, network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the error of inverse depth, robust where real, of gradients where unscaled."""
        answers, units = self.answers(network, batch)
        losses = []
        for (answer, truth), unit, real, metric in zip(
            at_truth(answers, batch), units, batch['real'], batch['metric'], strict=True
        ):
            mask = ~truth.isnan()
            if self._options.farthest_m is not None:
                mask = mask & (truth <= self._options.farthest_m)
            compared = inverse_depth(truth)
            if self._options.unit == 'meter':
                answer = answer / unit
            else:
                compared = compared * unit
            losses.append(self.loss_of(answer, compared, mask, real=real, metric=metric))
        return {'loss': torch.cat(losses).nanmean()}

    def predict(self, network: nn.Module, batch: Mapping[str, Any]) -> list[NDArray[np.float32]]:
        """Return depth in the sizes of the images."""
        answers, units = self.answers(network, batch)
        return [
            (unit / answer.clamp(*INVERSE_DEPTH_LIMITS))[0].cpu().numpy()
            for (answer, _), unit in zip(at_truth(answers, batch), units, strict=True)
        ]

    def loss_of(
        self, answer: Tensor, truth: Tensor, mask: Tensor, *, real: bool, metric: bool = True
    ) -> Tensor:
        """Return the loss of inverse depth.

        Real depth never gets that of the gradients, and depth without a scale gets no other.
        """
        error_weight, gradient_weight = TEACHER_WEIGHTS
        median = self._options.median_deviation
        if not metric:
            return gradient_weight * ssi_mage(answer, truth, mask, median_deviation=median)
        if real and not self._options.robust:
            return error_weight * absolute_error(answer, truth, mask)
        return teacher_loss(answer, truth, mask, real=real, median_deviation=median)

    def answers(self, network: nn.Module, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Return (B, 1, S, S) relative inverse depth, and the (B,) units in meters."""
        canvas = canvases(network, batch['frame'])
        with torch.no_grad():
            prompts, units = self.prompts(batch, canvas.device)
        return network(canvas, prompts), units

    def prompts(
        self, batch: Mapping[str, Any], device: torch.device
    ) -> tuple[list[Tensor], Tensor]:
        """Return an aligned prompt (1, 3, H, W) an image, in its size as at run time, and units.

        The unit of an image without points is that of its camera.
        """
        frames: list[Frame] = batch['frame']
        priors = batch['prior'] if 'prior' in batch else [self._prior_of(f) for f in frames]
        channels, units = [], []
        for frame, prior in zip(frames, priors, strict=True):
            assert frame.prompt is not None  # always drawn, if empty
            height, width = frame.image.shape[:2]
            points = torch.from_numpy(frame.prompt.to_map(width, height))[None].to(device)
            aligned = prompt_tensor(
                torch.from_numpy(prior)[None].to(device),
                points,
                norm=self._config.prompt_norm,
                gmdr_mode=self._config.gmdr_mode,
            )
            prompted = len(frame.prompt) > 0
            units.append(aligned.unit_m if prompted else aligned.unit_m * focal_share(frame))
            for channel, kept in ((_PDSA, self._options.pdsa), (_GMDR, self._options.gmdr)):
                if not kept:
                    aligned.channels[:, channel] = 0.0
            channels.append(aligned.channels)
        return channels, torch.cat(units)

    def _draw_prompt(self, view: Example, rng: np.random.Generator) -> SparsePrompt | None:
        if self._options.prompts == 'radar':
            prompt = view.sensors.get('radar')  # as it measured, in training and validation
            return prompt if prompt is not None and len(prompt) else None
        if rng.random() < self._options.masked_share:
            return masked_prompt(view, rng, self._options.points)
        return draw_prompt(view, rng)

    def _prior_of(self, frame: Frame) -> NDArray[np.float32]:
        """Return the prior's inverse depth (H, W), up to scale and shift; NaN = unknown."""
        depth = torch.from_numpy(self._prior.estimate(frame).depth)
        return torch.where(depth.isnan(), torch.nan, inverse_depth(depth)).numpy()

    @cached_property
    def _prior(self) -> Estimator:
        name = self._options.prior
        options = EstimatorOptions(weights=self._options.prior_weights)
        return create_estimator(name, options, _PRIOR)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the prior behind when sent to a worker process."""
        return {name: value for name, value in self.__dict__.items() if name != '_prior'}


def create(network: Mapping[str, Any], options: Mapping[str, Any], where: str) -> TeacherRecipe:
    """Make the recipe of plain values."""
    return TeacherRecipe(
        pyramid_from(TeacherConfig, network, f'{where}: network'),
        section_from(TeacherOptions, options, f'{where}: options'),
    )
