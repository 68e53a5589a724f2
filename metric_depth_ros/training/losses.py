# SPDX-License-Identifier: Apache-2.0
"""The losses of teacher and student, per image. Torch only.

Every function takes (B, H, W) maps and a (B, H, W) bool mask of the valid pixels, and returns
(B,) values; an image without such a pixel is NaN and gets no gradient.

Source: MetricAnything, sections 3.2, 3.3 and 7.6; choices where the paper is silent are said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from metric_depth_ros.training.gradient_loss import ssi_mage

KEPT_NUMERATOR, KEPT_DENOMINATOR = 4, 5  # the fifth with the largest errors is dropped
NEAREST_M = 1e-3
_LEAST_SQUARE = 1e-12
STEEPEST_AT, LOG_SHARE = 10.0, 0.3  # see `relative_difference`
FARTHEST_M = 400.0  # the constant C of the distance-balanced loss

TEACHER_WEIGHTS = (15.0, 5.0)  # of the absolute error and of the gradients
STUDENT_WEIGHTS = (10.0, 2.0)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of each image's valid pixels, (B,); NaN where there is none."""
    count = mask.flatten(1).sum(1)
    total = torch.where(mask, values, torch.zeros_like(values)).flatten(1).sum(1)
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan)


def root_mean_square(values: Tensor, mask: Tensor) -> Tensor:
    """Return the root of the mean square of each image's valid pixels, (B,); NaN as above."""
    # The root is steep beyond measure at zero.
    return masked_mean(values.square(), mask).clamp(min=_LEAST_SQUARE).sqrt()


def absolute_error(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error of inverse depth."""
    return masked_mean(_difference(predicted, truth, mask), mask)


def kept_count(count: Tensor) -> Tensor:
    """Return how many of so many errors the robust loss keeps: four fifths, at least one."""
    return (KEPT_NUMERATOR * count // KEPT_DENOMINATOR).clamp(min=1)


def robust_absolute_error(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error of inverse depth without the largest fifth of the errors.

    Sensor depth is wrong where it is wrong by much; those pixels get no gradient (Eq. 8). Which
    ones they are is not differentiated.
    """
    error = _difference(predicted, truth, mask).flatten(1)
    valid = mask.flatten(1)
    count = valid.sum(1)
    kept = kept_count(count)
    order = error.detach().masked_fill(~valid, torch.inf).argsort(dim=1)
    rank = torch.arange(order.shape[1], device=order.device)
    small = error.gather(1, order) * (rank < kept[:, None])
    return torch.where(count > 0, small.sum(1) / kept, torch.nan)


def log_distance(depth: Tensor, farthest_m: float = FARTHEST_M) -> Tensor:
    """Return D_log = 1 - ln(d) / ln(C): 1 at one meter, 0 at C, larger when nearer.

    Depth is limited to [0.001 m, C] first.
    """
    return 1.0 - depth.clamp(NEAREST_M, farthest_m).log() / math.log(farthest_m)


# What of depth a student's loss may compare; all but the first are for the ablation.
QUANTITIES: Mapping[str, Callable[[Tensor], Tensor]] = {
    'distance_balanced': log_distance,
    'log': torch.log,
    'inverse': torch.reciprocal,
    'depth': torch.clone,
}


def distance_balanced(
    predicted_m: Tensor, truth_m: Tensor, mask: Tensor, farthest_m: float = FARTHEST_M
) -> Tensor:
    """Return the mean absolute error of `log_distance`."""
    truth = log_distance(truth_m.where(mask, 1.0), farthest_m)
    return masked_mean((log_distance(predicted_m, farthest_m) - truth).abs(), mask)


def teacher_loss(
    predicted: Tensor,
    truth: Tensor,
    mask: Tensor,
    *,
    real: bool,
    median_deviation: bool = False,
) -> Tensor:
    """Return the teacher's loss on inverse depth: robust on real, with gradients on rendered.

    Parameters
    ----------
    real
        The truth is measured.
    median_deviation
        As in `ssi_mage`.
    """
    error, gradients = TEACHER_WEIGHTS
    if real:
        return error * robust_absolute_error(predicted, truth, mask)
    return error * absolute_error(predicted, truth, mask) + gradients * ssi_mage(
        predicted, truth, mask, median_deviation=median_deviation
    )


def student_loss(
    predicted_m: Tensor,
    truth_m: Tensor,
    mask: Tensor,
    farthest_m: float = FARTHEST_M,
    *,
    median_deviation: bool = False,
) -> Tensor:
    """Return the student's loss on depth: distance-balanced, with gradients of `log_distance`.

    Parameters
    ----------
    farthest_m
        As in `log_distance`.
    median_deviation
        As in `ssi_mage`.
    """
    error, gradients = STUDENT_WEIGHTS
    predicted = log_distance(predicted_m, farthest_m)
    truth = log_distance(truth_m.where(mask, 1.0), farthest_m)
    balanced = distance_balanced(predicted_m, truth_m, mask, farthest_m)
    return error * balanced + gradients * ssi_mage(
        predicted, truth, mask, median_deviation=median_deviation
    )


def laplace_likelihood(
    log_depth: Tensor, log_width: Tensor, log_truth: Tensor, mask: Tensor
) -> Tensor:
    """Return the mean negative log-likelihood of log depth under a Laplace distribution.

    The network says itself how wide its error is, and pays for both boasting and modesty.

    Parameters
    ----------
    log_depth, log_width
        Center and logarithm of the mean absolute deviation.
    log_truth
        Anything where not valid.
    """
    error = _difference(log_depth, log_truth, mask)
    return masked_mean(error * torch.exp(-log_width) + log_width, mask)


def relative_difference(log_depth: Tensor, log_truth: Tensor) -> Tensor:
    """Return (d - t) / t of depth d and truth t, bent so that every pixel has a bounded pull.

    Beyond `STEEPEST_AT` times the truth it grows with the logarithm, or a few pixels would decide
    every step. Nearer than the truth, `LOG_SHARE` of it is ln(d / t): the relative error alone is
    nearly flat where depth is far too near, and nothing would pull that back.
    """
    difference = log_depth - log_truth
    limit = math.log(STEEPEST_AT)
    beyond = torch.expm1(difference.clamp(0.0, limit))
    steep = STEEPEST_AT * (difference - limit).clamp(min=0.0)
    below = difference.clamp(max=0.0)
    return beyond + steep + (1.0 - LOG_SHARE) * torch.expm1(below) + LOG_SHARE * below


def _difference(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return |predicted - truth|, 0 where not valid, whatever stands there."""
    zero = torch.zeros_like(predicted)
    return (torch.where(mask, predicted, zero) - torch.where(mask, truth, zero)).abs()
