# SPDX-License-Identifier: Apache-2.0
"""The scale and shift that bring points nearest to others, whatever the outliers. Torch only.

The sum of truncated weighted absolute errors is minimized by trying: one point (the pin) is at its
true place in all axes that are shifted, and one more coordinate at its own. For every pin, what is
left is the error of a scale alone, which is found exactly. Where z alone is shifted the best of
all is the minimum; where x, y and z are, it is the minimum over the shifts that some point pins.

Source: Wang et al., "MoGe" (CVPR 2025), section 3.2 and appendix; what is minimized is that of its
reference code. How it is searched is ours: errors are piecewise linear, and all of their pieces
are summed in one order.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

Z_SHIFT = (0.0, 0.0, 1.0)
XYZ_SHIFT = (1.0, 1.0, 1.0)
_LEAST_X = 1e-7  # what is smaller decides no scale
_MOST_ELEMENTS = 1 << 23  # that are sorted at a time


class Alignment(NamedTuple):
    """`scale` (B,) and `shift` (B, 3), differentiable; both 0 where nothing can be aligned."""

    scale: Tensor
    shift: Tensor

    def apply(self, points: Tensor) -> Tensor:
        """Return points (B, ..., 3) scaled and shifted."""
        inner = (1,) * (points.ndim - 2)
        return points * self.scale.view(-1, *inner, 1) + self.shift.view(-1, *inner, 3)


class BestScale(NamedTuple):
    """`cost` (R,) of the best scale, +Inf where there is none; `term` (R,) whose y / x it is."""

    cost: Tensor
    term: Tensor


def align_points(
    points: Tensor,
    truth: Tensor,
    weight: Tensor,
    shifted: tuple[float, float, float],
    truncation: float = 1.0,
) -> Alignment:
    """Return what makes sum min(truncation, w |s p + t - q|) over all coordinates least.

    Which coordinates decide it is not differentiated; they themselves are. The scale may come out
    negative, as of points that are seen behind the camera: then it means nothing.

    Parameters
    ----------
    points, truth
        (B, N, 3) p and q, finite also where they do not count.
    weight
        (B, N) w, 0 for what does not count.
    shifted
        `Z_SHIFT` or `XYZ_SHIFT`: 1 for each axis with a shift.
    truncation
        Largest error of a coordinate.
    """
    axes = points.new_tensor(shifted)
    cost, pin, other = _search(points.detach(), truth, weight, axes, truncation)
    axis = other % 3
    pinned = [_picked(values, pin) * axes for values in (points, truth)]
    p_pin, q_pin = (values.gather(1, axis[:, None])[:, 0] for values in pinned)
    p, q = (values.flatten(1).gather(1, other[:, None])[:, 0] for values in (points, truth))
    run = p - p_pin
    found = cost.isfinite()
    scale = (q - q_pin) / torch.where(found, run, 1.0)
    shift = pinned[1] - scale[:, None] * pinned[0]
    return Alignment(scale.where(found, 0.0), shift.where(found[:, None], 0.0))


def best_scale(x: Tensor, y: Tensor, weight: Tensor, truncation: float) -> BestScale:
    """Return the a = y_i / x_i of the least sum_j min(truncation, w_j |a x_j - y_j|), row by row.

    Each term is a line down, a line up, and level outside: three knots. Slopes and intercepts of
    the sum change by known amounts at the knots, so that their running sums over the ordered knots
    give the error at every one of them.

    Parameters
    ----------
    x, y, weight
        (R, M); weights are not negative.
    """
    slope, height = weight * x.abs(), weight * y * x.sign()
    decides = (x.abs() > _LEAST_X) & (slope > 0.0)
    slope = slope.where(decides, 1.0)
    middle, reach = height / slope, truncation / slope
    knots = torch.cat((middle - reach, middle, middle + reach), dim=1)
    knots = knots.where(decides.repeat(1, 3), torch.inf)
    ordered, order = knots.sort(dim=1)
    # Float64, since sums over many terms are multiplied by scales that may be large.
    s, h = slope.double().where(decides, 0.0), height.double()
    steps = torch.cat((-s, 2.0 * s, -s), dim=1)
    lifts = torch.cat((h - truncation, -2.0 * h, h + truncation), dim=1)
    lifts = lifts.where(decides.repeat(1, 3), 0.0)
    far_left = torch.where(decides, truncation, (weight * y).abs().clamp(max=truncation)).double()
    slopes = steps.gather(1, order).cumsum(1)
    intercepts = lifts.gather(1, order).cumsum(1) + far_left.sum(1, keepdim=True)
    errors = slopes * ordered.double() + intercepts
    count = x.shape[1]
    is_middle = (order >= count) & (order < 2 * count) & ordered.isfinite()
    cost, place = errors.where(is_middle, torch.inf).min(dim=1)
    term = order.gather(1, place[:, None])[:, 0] - count
    return BestScale(cost, term.where(cost.isfinite(), 0))


@torch.no_grad()
def _search(
    points: Tensor, truth: Tensor, weight: Tensor, axes: Tensor, truncation: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the least cost (B,), the point that pins it, and the other coordinate's index."""
    costs = torch.full_like(weight, torch.inf, dtype=torch.float64)
    others = torch.zeros_like(weight, dtype=torch.int64)
    problems, pins = (weight > 0.0).nonzero(as_tuple=True)
    rows = max(1, _MOST_ELEMENTS // (9 * weight.shape[1]))
    for problem, pin in zip(problems.split(rows), pins.split(rows), strict=True):
        x, y = (
            (values[problem] - (values[problem, pin] * axes)[:, None]).flatten(1)
            for values in (points, truth)
        )
        best = best_scale(x, y, weight[problem].repeat_interleave(3, dim=1), truncation)
        costs[problem, pin], others[problem, pin] = best
    cost, pin = costs.min(dim=1)
    return cost, pin, others.gather(1, pin[:, None])[:, 0]


def _picked(values: Tensor, index: Tensor) -> Tensor:
    """Return one point (B, 3) of each (B, N, 3)."""
    return values.gather(1, index[:, None, None].expand(-1, 1, 3))[:, 0]
