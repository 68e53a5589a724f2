# SPDX-License-Identifier: Apache-2.0
"""Losses on the gradients of depth at several scales. Torch only.

`ssi_mage` is the papers' scale- and shift-invariant one; `multiscale_gradient_error` compares
logarithms directly. Shapes as in `losses`.

Source: MetricAnything, Eq. 11 and 12; the smoothing kernel, the handling of holes and the mean
absolute deviation are choices, reproduced by the goldens of the losses.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d

SCALES = 6
_SMALLEST_DEVIATION = 1e-6
_SMALLEST_SHARE = 1e-8  # of a blurred mask
_BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)
_SCHARR = ((-3.0, 0.0, 3.0), (-10.0, 0.0, 10.0), (-3.0, 0.0, 3.0))


class Spread(NamedTuple):
    """Middle and width of the valid values of each image, (B,) each."""

    median: Tensor
    deviation: Tensor


class ScaleErrors(NamedTuple):
    """Gradient errors per scale.

    Parameters
    ----------
    values
        (B, SCALES), 0 where no position counts.
    counts
        (B, SCALES) int64 positions.
    """

    values: Tensor
    counts: Tensor


def median(values: Tensor, mask: Tensor, *, lower: bool = False) -> Tensor:
    """Return the median of each image's valid values, (B,).

    Parameters
    ----------
    values, mask
        (B, H, W).
    lower
        Of an even count take the lower central value instead of the mean of both.

    Returns
    -------
    Tensor
        (B,); 0 where nothing counts.
    """
    flat = values.masked_fill(~mask, torch.inf).flatten(1)
    count = mask.flatten(1).sum(1, keepdim=True)
    ordered = flat.sort(dim=1).values
    low = ordered.gather(1, ((count - 1) // 2).clamp(min=0))
    high = low if lower else ordered.gather(1, (count // 2).clamp(max=flat.shape[1] - 1))
    return torch.where(count > 0, 0.5 * (low + high), 0.0)[:, 0]


def spread(
    values: Tensor, mask: Tensor, *, median_deviation: bool = False, lower: bool = False
) -> Spread:
    """Return median and absolute deviation from it of each image's valid values.

    Parameters
    ----------
    median_deviation
        The median of the deviations, as the paper's formula has it, instead of their mean, as its
        text has it, whose gradients are steadier.
    """
    middle = median(values, mask, lower=lower)
    away = (values - middle[:, None, None]).abs()
    if median_deviation:
        return Spread(middle, median(away, mask, lower=lower))
    count = mask.flatten(1).sum(1)
    total = away.where(mask, 0.0).flatten(1).sum(1)
    return Spread(middle, total / count.clamp(min=1))


def normalized(values: Tensor, mask: Tensor, of: Spread) -> Tensor:
    """Return values in deviations from the median, 0 where not valid."""
    width = of.deviation.clamp(min=_SMALLEST_DEVIATION)
    return ((values - of.median[:, None, None]) / width[:, None, None]).where(mask, 0.0)


def ssi_mage(
    predicted: Tensor,
    truth: Tensor,
    mask: Tensor,
    *,
    median_deviation: bool = False,
    lower: bool = False,
) -> Tensor:
    """Return the multi-scale absolute gradient error of maps freed of scale and shift.

    Parameters
    ----------
    predicted, truth, mask
        (B, H, W).
    median_deviation, lower
        As in `spread`.

    Returns
    -------
    Tensor
        (B,); NaN where no pixel counts.
    """
    maps = [
        normalized(
            values, mask, spread(values, mask, median_deviation=median_deviation, lower=lower)
        )
        for values in (predicted.where(mask, 0.0), truth.where(mask, 0.0))
    ]
    loss = scale_errors(maps[0] - maps[1], mask).values.sum(1) / SCALES
    return torch.where(mask.flatten(1).any(1), loss, torch.nan)


def scale_errors(error: Tensor, mask: Tensor) -> ScaleErrors:
    """Return the mean absolute Scharr gradients of an error map over a pyramid.

    The pyramid and the gradients are linear, so the error of the gradients is the gradient of the
    error. A position counts where all nine pixels do.
    """
    values, counts = [], []
    kernel = error.new_tensor(_SCHARR) / 32.0
    kernels = torch.stack((kernel, kernel.T))[:, None]
    ones = torch.ones_like(kernels[:1])
    share = mask.to(error.dtype)
    for _ in range(SCALES):
        if min(error.shape[-2:]) < 3:
            values.append(error.new_zeros(len(error)))
            counts.append(mask.new_zeros(len(error), dtype=torch.int64))
        else:
            gradients = conv2d(error[:, None], kernels).abs().sum(1)
            whole = conv2d(share[:, None], ones)[:, 0] > 8.5
            count = whole.flatten(1).sum(1)
            total = gradients.where(whole, 0.0).flatten(1).sum(1)
            values.append(total / count.clamp(min=1))
            counts.append(count)
        error, share = _halved(error, share)
    return ScaleErrors(torch.stack(values, 1), torch.stack(counts, 1))


def multiscale_gradient_error(
    predicted: Tensor, truth: Tensor, mask: Tensor, scales: int = 4
) -> Tensor:
    """Return the mean absolute difference of neighboring differences, over strides of 1, 2, 4...

    For logarithms of depth, where scale is a shift and drops out. Source: Li and Snavely 2018
    (MegaDepth), section 4.2.

    Returns
    -------
    Tensor
        (B,); 0 where no two neighbors count.
    """
    error = (predicted - truth.where(mask, 0.0)).where(mask, 0.0)
    total = error.new_zeros(len(error))
    for scale in range(scales):
        step = 2**scale
        if min(error.shape[-2:]) <= step:
            break
        e, m = error[:, ::step, ::step], mask[:, ::step, ::step]
        for dim in (1, 2):
            size = e.shape[dim] - 1
            both = m.narrow(dim, 0, size) & m.narrow(dim, 1, size)
            difference = (e.narrow(dim, 1, size) - e.narrow(dim, 0, size)).abs().where(both, 0.0)
            total = total + difference.flatten(1).sum(1) / both.flatten(1).sum(1).clamp(min=1)
    return total / scales


def _halved(values: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Blur what counts and keep every second row and column; holes stay holes."""
    blurred = _blurred(torch.stack((values * share, share), 1))
    known = (share > 0) & (blurred[:, 1] > _SMALLEST_SHARE)
    mean = blurred[:, 0] / blurred[:, 1].clamp(min=_SMALLEST_SHARE)
    return mean.where(known, 0.0)[:, ::2, ::2], share[:, ::2, ::2]


def _blurred(maps: Tensor) -> Tensor:
    row = maps.new_tensor(_BINOMIAL) / 16.0
    channels = maps.shape[1]
    across = row.view(1, 1, 1, 5).expand(channels, 1, 1, 5)
    down = row.view(1, 1, 5, 1).expand(channels, 1, 5, 1)
    return conv2d(
        conv2d(maps, across, padding=(0, 2), groups=channels),
        down,
        padding=(2, 0),
        groups=channels,
    )
