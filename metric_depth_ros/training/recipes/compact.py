# SPDX-License-Identifier: Apache-2.0
"""The compact teacher: corrects the classical guess, and says how wide its error is.

Input and guess are made by the code that makes them at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from metric_depth_ros.estimators.learned.compact_inputs import (
    FEWEST_PIXELS,
    MULTIPLE_PX,
    compact_input,
    fine_size,
)
from metric_depth_ros.networks.compact_teacher import CompactTeacher, CompactTeacherConfig
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.config import multiples_of, one_of, section_from, within
from metric_depth_ros.training.gradient_loss import multiscale_gradient_error
from metric_depth_ros.training.losses import (
    absolute_error,
    laplace_likelihood,
    masked_mean,
    relative_difference,
    robust_absolute_error,
    root_mean_square,
)
from metric_depth_ros.training.painted import with_paint
from metric_depth_ros.training.pasted import with_pasted_shapes
from metric_depth_ros.training.prompts import nonempty_prompt
from metric_depth_ros.training.recipes.base import Prepared, Recipe
from metric_depth_ros.training.views import misregistered, random_view, recolored, restyled

_LEAST_SHARE = 0.02  # of the pixels, with a depth
_GRAY = 127
_RECOLORED_BELOW = 0.7  # of the images that are not restyled
_TYPICAL_ERROR, _LEAST_ERROR = 0.1, 0.02  # of the guess's logarithm
_LARGEST_LOG = 6.0  # of an answer whose depth still counts: no overflow while it is untrained
_WEIGHTS = ('error', 'far', 'squared', 'gradient', 'width', 'sky', 'held')
_SHARES = ('blank_image', 'restyled', 'misregistered', 'painted', 'pasted')
_SPACES: Mapping[str, Callable[[Tensor], Tensor]] = {
    'log': torch.clone,
    'depth': torch.exp,
    'inverse': lambda log_depth: torch.exp(-log_depth),
}


@dataclass(frozen=True)
class CompactOptions:
    """Choices of the recipe.

    Attributes
    ----------
    sizes
        (width, height) that the examples of a step may have; multiples of 32, and not so large
        that the input is made smaller where points are far apart: above about 60,000 pixels.
    error_weight, far_weight
        Of the error of the logarithm, and of the same where pixels count by their depth.
    squared_weight
        Of the root of depth's mean squared error, which pulls a pixel that may be either of two
        depths between them.
    gradient_weight, width_weight, sky_weight, held_weight
        Of the logarithm's differences between neighbors, of the likelihood of the width, of
        telling the sky, and of keeping to the guess there: nothing else holds the answer in the
        sky, and what it does there reaches over the edges of things. The likelihood moves the
        width alone: as a loss of the depth it would give up the hard pixels for the easy ones.
    space
        Where the error is taken: ``'relative'`` to the truth, bent so that no pixel rules, or of
        ``'log'``, ``'depth'`` or ``'inverse'`` depth, the latter two relative to their mean.
    robust
        Drop the largest fifth of the errors.
    blank_image_share
        Examples whose image is gray: what the points alone can say. 1 is the ablation.
    restyled_share
        Examples whose image went through a random filter.
    misregistered_share
        Examples whose image lies some pixels beside depth and points.
    painted_share
        Examples whose surfaces carry marks that are not of depth.
    pasted_share
        Examples with random shapes before what they show.
    """

    sizes: tuple[tuple[int, int], ...] = ((224, 160), (256, 128), (192, 192), (288, 128))
    error_weight: float = 4.0
    far_weight: float = 0.5
    squared_weight: float = 1.5
    gradient_weight: float = 0.5
    width_weight: float = 0.1
    sky_weight: float = 0.1
    held_weight: float = 1.0
    space: str = 'relative'
    robust: bool = False
    blank_image_share: float = 0.05
    restyled_share: float = 0.35
    misregistered_share: float = 0.5
    painted_share: float = 0.5
    pasted_share: float = 0.55

    def __post_init__(self) -> None:
        one_of('space', self.space, ('relative', *_SPACES))
        for name in _WEIGHTS:
            within(f'{name}_weight', getattr(self, f'{name}_weight'), 0.0, 1e6)
        for name in _SHARES:
            within(f'{name}_share', getattr(self, f'{name}_share'), 0.0, 1.0)
        multiples_of('sizes', self.sizes, MULTIPLE_PX)
        _refuse_scaled_down('sizes', self.sizes)


class CompactRecipe(Recipe):
    """Trains a `CompactTeacher`.

    Parameters
    ----------
    config
        Shape of the network.
    options
        Choices.
    """

    def __init__(self, config: CompactTeacherConfig, options: CompactOptions) -> None:
        super().__init__(options)
        self._config = config
        self._options = options
        # What shallower weights, or those without rounds, lack: it does little until it learns.
        # The first block of every level is in all of them.
        self.new_prefixes = (
            'spread.',
            *(
                f'{way}.{level}.{block}.'
                for way in ('encoder', 'decoder')
                for level, blocks in enumerate(config.blocks)
                for block in range(1, blocks)
            ),
        )

    def build(self) -> nn.Module:
        """Return the network, which answers the guess at first."""
        network: nn.Module = CompactTeacher(self._config)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

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
        """Draw a window and a prompt, and make the network's input."""
        if size is not None:
            example = random_view(example, size, rng, mirror=augment)
        if np.isfinite(example.depth).mean() < _LEAST_SHARE:
            return None
        if augment and not np.isnan(example.depth).any():  # what is drawn has depth everywhere
            if rng.random() < self._options.painted_share:
                example = with_paint(example, rng)
            if rng.random() < self._options.pasted_share:
                example = with_pasted_shapes(example, rng)
        prompt = nonempty_prompt(example, rng)
        if prompt is None:
            return None
        if augment and rng.random() < self._options.blank_image_share:
            example = replace(example, image=np.full_like(example.image, _GRAY))
        elif augment:
            image = self._photographed_otherwise(example.image, rng)
            if rng.random() < self._options.misregistered_share:
                image = misregistered(image, rng)
            example = replace(example, image=image)
        made = compact_input(example.image, prompt, example.camera)
        fine = made.guess.shape[:0:-1]
        truth = cv2.resize(example.depth, fine, interpolation=cv2.INTER_NEAREST)
        arrays = {
            'inputs': made.inputs,
            'guess': made.guess,
            'relative': (truth / np.float32(made.unit_m)).astype(np.float32),
            'unit_m': np.float32(made.unit_m),
            'guess_error': _error_of(made.guess[0], truth / np.float32(made.unit_m)),
        }
        return Prepared(example, prompt, arrays)

    def _photographed_otherwise(
        self, image: NDArray[np.uint8], rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        drawn = rng.random()
        if drawn < self._options.restyled_share:
            return restyled(image, rng)
        return recolored(image, rng) if drawn < _RECOLORED_BELOW else image

    def losses(self, network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the error, its gradients, the width's likelihood and the sky."""
        answer = network(batch['inputs'], batch['guess'])
        log_depth, log_width, sky = (part[:, 0].float() for part in answer)
        relative: Tensor = batch['relative']
        mask = relative.isfinite() & (relative > 0)
        endless = relative.isposinf()
        log_truth = relative.where(mask, 1.0).log()
        likelihood = laplace_likelihood(log_depth.detach(), log_width, log_truth, mask)
        fine_guess = batch['guess'][:, 0].float()
        error = self._error(log_depth.clamp(max=_LARGEST_LOG), log_truth, mask)
        relative = relative.where(mask, 0.0)
        far = masked_mean((log_depth - log_truth).abs() * relative, mask)
        # An answer ends at the farthest point, and so, nearly, does a guess.
        reach = fine_guess.flatten(1).amax(1)[:, None, None]
        squared = root_mean_square(torch.minimum(log_depth, reach).exp() - relative, mask)
        gradients = multiscale_gradient_error(log_depth, log_truth, mask)
        told = functional.binary_cross_entropy_with_logits(sky, endless.float(), reduction='none')
        # What counts is how much better than the guess the answer is, though what is nearly
        # perfect already cannot gain as much.
        weight = (_TYPICAL_ERROR / (_LEAST_ERROR + batch['guess_error'])).sqrt()
        parts = {
            'error': (weight * error).mean(),
            'squared_error': (weight * squared / masked_mean(relative, mask)).mean(),
            'far_error': (weight * far / masked_mean(relative, mask)).mean(),
            'width': likelihood.mean(),
            'gradients': (weight * gradients).mean(),
            'guess_error': (weight * batch['guess_error']).mean(),
            'sky': masked_mean(told, mask | endless).mean(),
            'held': ((log_depth - fine_guess).abs() * endless).mean(),
        }
        options = self._options
        total = (
            options.error_weight * parts['error']
            + options.far_weight * parts['far_error']
            + options.squared_weight * parts['squared_error']
            + options.width_weight * parts['width']
            + options.gradient_weight * parts['gradients']
            + options.sky_weight * parts['sky']
            + options.held_weight * parts['held']
        )
        return {'loss': total, **parts}

    def _error(self, log_depth: Tensor, log_truth: Tensor, mask: Tensor) -> Tensor:
        """Return the (B,) error that the options ask for."""
        mean_error = robust_absolute_error if self._options.robust else absolute_error
        if self._options.space == 'relative':
            off = relative_difference(log_depth, log_truth)
            return mean_error(off, torch.zeros_like(off), mask)
        if self._options.space == 'log':
            return mean_error(log_depth, log_truth, mask)
        values, truth = (_SPACES[self._options.space](x) for x in (log_depth, log_truth))
        return mean_error(values, truth, mask) / masked_mean(truth, mask)

    def predict(self, network: nn.Module, batch: Mapping[str, Any]) -> list[NDArray[np.float32]]:
        """Return depth in the size of the guess, also where the network sees sky."""
        answer = network(batch['inputs'], batch['guess'])
        depth = answer.log_depth.float().exp() * batch['unit_m'].view(-1, 1, 1, 1)
        return list(depth[:, 0].cpu().numpy())

    def baseline(self, prepared: Prepared) -> NDArray[np.float32] | None:
        """Return the guess."""
        depth = np.exp(prepared.arrays['guess'][0]) * prepared.arrays['unit_m']
        height, width = prepared.example.depth.shape
        return cv2.resize(depth, (width, height), interpolation=cv2.INTER_LINEAR).astype(
            np.float32, copy=False
        )


def _refuse_scaled_down(name: str, sizes: Sequence[tuple[int, int]]) -> None:
    """Refuse (width, height) that the input has for some prompts only: they make no batch."""
    large = [size for size in sizes if fine_size(*size, FEWEST_PIXELS) != size]
    if large:
        kept = ', '.join(str(fine_size(*size, FEWEST_PIXELS)) for size in large)
        raise ValueError(
            f'{name}: {large} given, expected no more than about {FEWEST_PIXELS} pixels, such as '
            f'{kept}: a larger input is made smaller where points are far apart, and the examples '
            'of a batch would differ in size.'
        )


def _error_of(guess: NDArray[np.float32], relative: NDArray[np.float32]) -> np.float32:
    """Return the mean error of the guess's logarithm."""
    fine = cv2.resize(guess, relative.shape[::-1], interpolation=cv2.INTER_LINEAR)
    mask = np.isfinite(relative) & (relative > 0)
    return np.float32(np.abs(fine[mask] - np.log(relative[mask])).mean())


def create(network: Mapping[str, Any], options: Mapping[str, Any], where: str) -> CompactRecipe:
    """Make the recipe of plain values."""
    return CompactRecipe(
        section_from(CompactTeacherConfig, network, f'{where}: network'),
        section_from(CompactOptions, options, f'{where}: options'),
    )
