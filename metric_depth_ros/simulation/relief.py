# SPDX-License-Identifier: Apache-2.0
"""The ground: a relief that rays march over. torch only."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from metric_depth_ros.simulation.world import Relief

_NEAREST = 1e-4  # ignores the surface that a ray starts from
_TINY = 1e-9
_REFINEMENTS = 3
_FAR_M = 1e3
# Of the distance: a crest that rises and falls within such a step is lower than a pixel.
_LEAST_STEP = 0.01
_LEAST_STEP_M = 0.1


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
        rays = _rays(ground, b, origin, direction, end[b, r])
        distance[b, r] = _marched(rays, start[b, r])
    return distance


class _Rays(NamedTuple):
    """M rays, and the K waves of the relief along each of them.

    `speed` and `phase` (M, K) are those of the waves by the distance along the ray; `fall` (M,) is
    the most by which a ray nears the ground per length; `least_step` and `end` are distances.
    """

    amplitude: Tensor
    speed: Tensor
    phase: Tensor
    height: Tensor
    slope: Tensor
    fall: Tensor
    least_step: Tensor
    end: Tensor

    def clearance(self, distance: Tensor) -> Tensor:
        angle = self.phase + self.speed * distance[:, None]
        ground = (self.amplitude * angle.sin()).sum(-1)
        return self.height + self.slope * distance - ground

    def chosen(self, which: Tensor) -> _Rays:
        return _Rays(*(part[which] for part in self))


def _rays(ground: Relief, b: Tensor, origin: Tensor, direction: Tensor, end: Tensor) -> _Rays:
    amplitude, wave = ground.amplitude[b], ground.wave[b]
    speed = (wave * direction[:, None, :2]).sum(-1)
    slope = direction[:, 2]
    return _Rays(
        amplitude=amplitude,
        speed=speed,
        phase=ground.phase[b] + (wave * origin[:, None, :2]).sum(-1),
        height=origin[:, 2],
        slope=slope,
        fall=((amplitude * speed).abs().sum(-1) - slope).clamp(min=_TINY),
        least_step=_LEAST_STEP_M / direction.norm(dim=-1),
        end=end,
    )


def _marched(rays: _Rays, start: Tensor) -> Tensor:
    """Return where rays first pass down through the relief.

    A step is as long as the ground certainly stays below the ray, and no shorter than the least.
    """
    passing = torch.full((4, len(start)), torch.inf, device=start.device)
    under_way, moving = torch.arange(len(start), device=start.device), rays
    low, above = start, rays.clearance(start)
    while len(under_way):
        least = _LEAST_STEP * low + moving.least_step
        high = torch.minimum(low + torch.maximum(above / moving.fall, least), moving.end)
        below = moving.clearance(high)
        passes = below <= 0.0
        passing[:, under_way[passes]] = torch.stack((low, above, high, below))[:, passes]
        on = (~passes & (high < moving.end)).nonzero()[:, 0]
        under_way, moving, low, above = under_way[on], moving.chosen(on), high[on], below[on]
    met = (passing[0].isfinite() & (passing[1] > 0.0)).nonzero()[:, 0]
    distance = torch.full_like(start, torch.inf)
    distance[met] = _refined(rays.chosen(met), *passing[:, met])
    return torch.where(distance > _NEAREST, distance, torch.inf)


def _refined(rays: _Rays, low: Tensor, above: Tensor, high: Tensor, below: Tensor) -> Tensor:
    """Return where the clearance is zero between a place above and one below, by secants."""
    for _ in range(_REFINEMENTS):
        middle = low + (high - low) * (above / (above - below))
        here = rays.clearance(middle)
        low, above = torch.where(here > 0.0, middle, low), torch.where(here > 0.0, here, above)
        high, below = torch.where(here > 0.0, high, middle), torch.where(here > 0.0, below, here)
    return low + (high - low) * (above / (above - below))


def ground_normal(ground: Relief, b: Tensor, point: Tensor) -> Tensor:
    """Return the upward normals (M, 3) of the ground at points (M, 3) of the worlds `b`."""
    slopes = torch.zeros_like(point[..., :2])
    if ground.amplitude.shape[1]:
        wave = ground.wave[b]
        angle = (wave * point[:, None, :2]).sum(-1) + ground.phase[b]
        slopes = ((ground.amplitude[b] * angle.cos())[..., None] * wave).sum(-2)
    normal = torch.cat((-slopes, torch.ones_like(slopes[..., :1])), -1)
    return torch.nn.functional.normalize(normal, dim=-1)
