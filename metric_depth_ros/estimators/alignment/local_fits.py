# SPDX-License-Identifier: Apache-2.0
"""Scale and shift from the nearest prompts of a position, as PDSA defines them. Torch only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from metric_depth_ros.estimators.alignment.prompt_list import PromptList
from metric_depth_ros.estimators.alignment.scale_shift import ScaleShift, fit_global, fit_local

_RIDGE = 1e-3


class Neighborhoods(NamedTuple):
    """The K nearest prompts of each position, (B, K, h, w) each; NaN weights for no prompts."""

    prior: Tensor
    inverse: Tensor
    weight: Tensor

    def residual(self, fit: ScaleShift) -> Tensor:
        """Return (B, h, w) root mean square misfit of a fit over the mean inverse depth."""
        misfit = torch.addcmul(fit.shift[:, None], fit.scale[:, None], self.prior) - self.inverse
        mean = (self.weight * self.inverse).sum(1)
        return (self.weight * misfit.square()).sum(1).sqrt() / mean


@dataclass(frozen=True, eq=False)
class LocalFits:
    """What the fit at any position of a batch of images needs.

    Parameters
    ----------
    prompts
        Prompts where the prior is known.
    prior
        (B, N) inverse depth of the prior at the prompts.
    whole
        (B, 1, 1) fit over all prompts of each image.
    pull
        (B, 1, 1) mean square of the prior at the prompts; None turns the ridge and the
        fall-back to `whole` off.
    """

    prompts: PromptList
    prior: Tensor
    whole: ScaleShift
    pull: Tensor | None

    @classmethod
    def prepare(
        cls, prior: Tensor, prompts: PromptList, dtype: torch.dtype, *, regularized: bool
    ) -> LocalFits:
        """Sample the prior (B, H, W) and fit it to all prompts; fits are made in `dtype`."""
        sampled = prompts.sample(prior)
        fit = fit_global(sampled, prompts.inverse, prompts.valid, regularized=regularized)
        whole = ScaleShift(*(value.to(dtype)[:, None, None] for value in fit))
        sampled = sampled.to(dtype)
        pull = None
        if regularized:
            pull = (sampled.square().sum(1) / prompts.counts.clamp(min=1))[:, None, None]
        return cls(prompts, sampled, whole, pull)

    def neighborhoods(self, slot: Tensor, squared_distance: Tensor) -> Neighborhoods:
        """Gather what `nearest_prompts` found for positions (B, h, w)."""
        slot = slot.movedim(-1, 1).contiguous()  # sums over K are several times faster this way
        prior = self.prior.gather(1, slot.flatten(1)).reshape(slot.shape)
        inverse = self.prompts.inverse.gather(1, slot.flatten(1)).reshape(slot.shape)
        squared = squared_distance.movedim(-1, 1).contiguous().to(prior.dtype)
        # The reference multiplies both sides of its equations by 1/distance, which squares it.
        # Only a prompt's own pixel is nearer than the limit, and the prompt replaces that result.
        weight = squared.clamp(min=0.5).reciprocal()
        return Neighborhoods(prior, inverse.to(prior.dtype), weight / weight.sum(1, keepdim=True))

    def solve(self, near: Neighborhoods) -> ScaleShift:
        """Return the fit of each position, (B, h, w) each."""
        if self.pull is None:
            return fit_local(*near, self.whole)
        ridge = _RIDGE * (near.weight * near.prior.square()).sum(1)
        # The prior's unit is arbitrary: over its own mean square, the shift's ridge has none.
        fit = fit_local(*near, self.whole, ridge, ridge / self.pull)
        sound = (fit.scale > 0) & (fit.scale + fit.shift.abs() < torch.inf)  # false for NaN
        return ScaleShift(
            torch.where(sound, fit.scale, self.whole.scale),
            torch.where(sound, fit.shift, self.whole.shift),
        )
