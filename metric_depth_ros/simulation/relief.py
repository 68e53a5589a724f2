# SPDX-License-Identifier: Apache-2.0
"""The ground: a relief that rays march over. torch only."""

from __future__ import annotations

import torch
from torch import Tensor

from metric_depth_ros.simulation.world import Relief

_NEAREST = 1e-4  # ignores the surface that a ray starts from
_TINY = 1e-9
_STEPS = 16
_REFINEMENTS = 6
_FAR_M = 1e3
_EVEN_STEPS_M = 2.0  # steps are even up to about here and grow beyond


def ground_height(ground: Relief, x: Tensor, y: Tensor) -> Tensor:
    """Return the height of the ground at (B, R) coordinates, in meters."""
    angle = (
        ground.wave[:, None, :, 0] * x[..., None]
        + ground.wave[:, None, :, 1] * y[..., None]
        + ground.phase[:, None]
    )
    return (ground.amplitude[:, None] * angle.sin()).sum(-1)


def ground_distance(ground: Relief, origins: Tensor, directions: Tensor, limit: Tensor) -> Tensor:
    """Return (B, R) distances to the ground, +Inf where it is not met before `limit`."""
    height, slope = origins[..., 2], directions[..., 2]
    highest = ground.amplitude.abs().sum(-1, keepdim=True)
    if not ground.amplitude.shape[1]:
        distance = -height / torch.where(slope < -_TINY, slope, -_TINY)
        return torch.where((slope < -_TINY) & (distance > _NEAREST), distance, torch.inf)
    # Between these distances a ray is in the layer that holds the relief.
    inverse = 1.0 / torch.where(slope.abs() < _TINY, _TINY, slope)
    up, down = (highest - height) * inverse, (-highest - height) * inverse
    start = torch.minimum(up, down).clamp(min=0.0)
    end = torch.minimum(torch.maximum(up, down).clamp(max=_FAR_M), limit)
    start, end = torch.broadcast_tensors(start, end)
    b, r = (start < end).nonzero(as_tuple=True)
    distance = torch.full_like(limit, torch.inf)
    if len(b):
        origin = origins[b, r if origins.shape[1] > 1 else 0]
        direction = directions[b, r if directions.shape[1] > 1 else 0]
        distance[b, r] = _marched(ground, b, origin, direction, start[b, r], end[b, r])
    return distance


def _marched(
    ground: Relief, b: Tensor, origin: Tensor, direction: Tensor, start: Tensor, end: Tensor
) -> Tensor:
    """Return where rays (M, 3) pass down through the relief: first in steps, then by secants."""
    amplitude, phase, wave = ground.amplitude[b], ground.phase[b], ground.wave[b]

    def clearance(distance: Tensor) -> Tensor:
        point = origin + direction * distance[..., None]
        angle = wave[..., 0] * point[..., :1] + wave[..., 1] * point[..., 1:2] + phase
        return point[..., 2] - (amplitude * angle.sin()).sum(-1)

    near = _EVEN_STEPS_M / direction.norm(dim=-1)
    growth = ((end + near) / (start + near)) ** (1.0 / _STEPS)
    low, high = start, end
    above, below = clearance(low), torch.full_like(start, -torch.inf)
    step = start + near
    for _ in range(_STEPS):
        step = step * growth
        here = clearance(step - near)
        searching = below == -torch.inf
        ends = searching & (here <= 0.0)
        passes = searching & (here > 0.0)
        high, below = torch.where(ends, step - near, high), torch.where(ends, here, below)
        low, above = torch.where(passes, step - near, low), torch.where(passes, here, above)
    met = below.isfinite() & (above > 0.0)
    for i in range(_REFINEMENTS):
        share = above / (above - below)
        middle = low + (high - low) * (share if i % 3 < 2 else 0.5)
        here = clearance(middle)
        low, above = torch.where(here > 0.0, middle, low), torch.where(here > 0.0, here, above)
        high, below = torch.where(here > 0.0, high, middle), torch.where(here > 0.0, below, here)
    distance = low + (high - low) * (above / (above - below))
    return torch.where(met & (distance > _NEAREST), distance, torch.inf)


def ground_normal(ground: Relief, b: Tensor, point: Tensor) -> Tensor:
    """Return the upward normals (M, 3) of the ground at points (M, 3) of the worlds `b`."""
    slopes = torch.zeros_like(point[..., :2])
    if ground.amplitude.shape[1]:
        wave = ground.wave[b]
        angle = (wave * point[:, None, :2]).sum(-1) + ground.phase[b]
        slopes = ((ground.amplitude[b] * angle.cos())[..., None] * wave).sum(-2)
    normal = torch.cat((-slopes, torch.ones_like(slopes[..., :1])), -1)
    return torch.nn.functional.normalize(normal, dim=-1)
