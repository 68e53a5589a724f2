# SPDX-License-Identifier: Apache-2.0
"""Closed-form least squares for scale and shift, over an image or over neighborhoods. Torch only.

All sums are centered: without that, float32 loses up to half of the pixels on scan lines.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_FLAT = 1e-10  # relative variance of the prior below which it tells near from far no more


class ScaleShift(NamedTuple):
    """Inverse depth = `scale` * prior + `shift` (1/m); one value an image or a position."""

    scale: Tensor
    shift: Tensor


def fit_global(
    prior: Tensor, inverse: Tensor, valid: Tensor, *, regularized: bool = True
) -> ScaleShift:
    """Fit one scale and shift per image by unweighted least squares, in float64.

    Parameters
    ----------
    prior, inverse
        (B, N) inverse depth of the prior and of the prompts; N is at least 1.
    valid
        (B, N) bool.
    regularized
        Fall back to the median ratio without shift where there are fewer than two points, the
        prior is flat, or it decreases where the prompts increase; to the prior as it is without
        any point.

    Returns
    -------
    ScaleShift
        (B,) float64 each.
    """
    prior, inverse = prior.double(), inverse.double()
    count = valid.sum(1).clamp(min=1)
    mean_prior = (prior * valid).sum(1) / count
    mean_inverse = (inverse * valid).sum(1) / count
    centered = (prior - mean_prior[:, None]) * valid
    variance = centered.square().sum(1)
    varies = variance > _FLAT * (prior * valid).square().sum(1)
    scale = (centered * (inverse - mean_inverse[:, None])).sum(1) / variance
    if not regularized:
        # Of the many solutions for a flat prior, the smallest, as `lstsq` does.
        scale = torch.where(varies, scale, mean_inverse * mean_prior / (1.0 + mean_prior**2))
        return ScaleShift(scale, mean_inverse - scale * mean_prior)
    shift = mean_inverse - scale * mean_prior
    sound = varies & (scale > 0)
    ratio = torch.where(valid & (prior > 0), inverse / prior, torch.nan).nanmedian(1).values
    ratio = torch.where(ratio > 0, ratio, torch.ones_like(ratio))
    return ScaleShift(
        torch.where(sound, scale, ratio), torch.where(sound, shift, torch.zeros_like(shift))
    )


def fit_local(
    prior: Tensor,
    inverse: Tensor,
    weight: Tensor,
    around: ScaleShift,
    pull_scale: Tensor | float = 0.0,
    pull_shift: Tensor | float = 0.0,
) -> ScaleShift:
    """Fit a scale and shift per position by weighted least squares, pulled toward another fit.

    Minimizes sum_k w_k (s p_k + t - y_k)^2 + a (s - s0)^2 + b (t - t0)^2 for weights of sum 1.

    Parameters
    ----------
    prior, inverse, weight
        (B, K, ...) p, y and w; the weights of a position sum to 1.
    around
        s0 and t0, broadcastable to (B, ...).
    pull_scale, pull_shift
        a and b, broadcastable to (B, ...). Where a is zero and the prior is constant among the
        neighbors the result is not finite.

    Returns
    -------
    ScaleShift
        (B, ...) each.
    """
    # The remainder after the other fit is small, which keeps the digits that matter.
    remainder = inverse - torch.addcmul(around.shift[:, None], around.scale[:, None], prior)
    mean_prior = (weight * prior).sum(1)
    mean_remainder = (weight * remainder).sum(1)
    centered = prior - mean_prior[:, None]
    weighted = weight * centered
    covariance = (weighted * (remainder - mean_remainder[:, None])).sum(1)
    variance = (weighted * centered).sum(1)
    kept = pull_shift / (1.0 + pull_shift)
    scale = (covariance + kept * mean_prior * mean_remainder) / (
        variance + pull_scale + kept * mean_prior.square()
    )
    shift = (mean_remainder - scale * mean_prior) / (1.0 + pull_shift)
    return ScaleShift(around.scale + scale, around.shift + shift)
