# SPDX-License-Identifier: Apache-2.0
"""Procedural colors of surfaces: two colors of a material mixed by a pattern. torch only.

Patterns are functions of a point in the solid's own axes, in meters, so that nothing slides when
the camera moves. A pattern finer than the pixel that sees it fades to its mean.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from metric_depth_ros.simulation.raycast import Hits
from metric_depth_ros.simulation.world import Pattern, World

_LATTICE = 32
_LATTICE_SEED = 20_260_101  # the same noise everywhere: worlds differ by where they look at it
_LANE_M = 3.5


def albedo(world: World, hits: Hits, footprint: Tensor) -> Tensor:
    """Return the linear RGB of the surfaces, (B, R, 3).

    Parameters
    ----------
    world, hits
        B worlds and the rays that ended in them.
    footprint
        (B, R) width in meters of the patch that a pixel sees.
    """
    materials = world.materials
    row = hits.material.clamp(min=0)
    batch = torch.arange(len(row), device=row.device)[:, None]
    pattern = materials.pattern[batch, row]
    period = materials.period[batch, row]
    point = hits.local_point
    mix = torch.zeros_like(period)
    for kind, weight in _PATTERNS.items():
        chosen = pattern == kind
        if chosen.any():
            value = weight(point[chosen], hits.local_normal[chosen], period[chosen])
            mix[chosen] = value
    sharp = (period / (3.0 * footprint.clamp(min=1e-6))).clamp(0.0, 1.0)
    mix = torch.where(pattern == Pattern.PLAIN, mix, 0.4 + (mix - 0.4) * sharp)
    color = torch.lerp(
        materials.color[batch, row], materials.second_color[batch, row], mix[..., None]
    )
    grain = smooth_noise(point / 0.07) * (0.02 / footprint.clamp(min=1e-6)).clamp(0.0, 1.0)
    return color * (1.0 + 0.25 * (grain - 0.5))[..., None]


def smooth_noise(point: Tensor) -> Tensor:
    """Return noise in [0, 1] that varies over distances of 1; (..., 3) to (...)."""
    lattice = _noise_lattice().to(point.device)
    cell = point.floor()
    blend = point - cell
    blend = blend * blend * (3.0 - 2.0 * blend)
    low = (cell.long() % _LATTICE).unbind(-1)
    high = ((cell.long() + 1) % _LATTICE).unbind(-1)
    bx, by, bz = blend.unbind(-1)

    def corner(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return lattice[(x * _LATTICE + y) * _LATTICE + z]

    def edge(y: Tensor, z: Tensor) -> Tensor:
        return torch.lerp(corner(low[0], y, z), corner(high[0], y, z), bx)

    front = torch.lerp(edge(low[1], low[2]), edge(high[1], low[2]), by)
    back = torch.lerp(edge(low[1], high[2]), edge(high[1], high[2]), by)
    return torch.lerp(front, back, bz)


def layered_noise(point: Tensor, layers: int = 3) -> Tensor:
    """Return noise in [0, 1] with detail at several scales."""
    total = torch.zeros_like(point[..., 0])
    for i in range(layers):
        total = total + smooth_noise(point * 2.1**i + 17.3 * i) * 0.5 ** (i + 1)
    return total / (1.0 - 0.5**layers)


@lru_cache(maxsize=1)
def _noise_lattice() -> Tensor:
    generator = torch.Generator().manual_seed(_LATTICE_SEED)
    return torch.rand(_LATTICE**3, generator=generator)


def _wall_coordinates(point: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Return coordinates along and up a wall, whichever way the wall faces."""
    x, y, z = point.unbind(-1)
    return torch.where(normal[..., 0].abs() > normal[..., 1].abs(), y, x), z


def _plain(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    return torch.zeros_like(period)


def _noise(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    return layered_noise(point / period[..., None])


def _checker(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    cell = (point / period[..., None] + 1e-3).floor().sum(-1)
    return cell.remainder(2.0)


def _stripes(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    along, _ = _wall_coordinates(point, normal)
    return ((along / period).remainder(1.0) > 0.6).float()


def _wood(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    grain = point / period[..., None] * point.new_tensor([0.08, 1.0, 1.0])
    rings = (grain[..., 1] + grain[..., 2]) * 4.0 + 3.0 * layered_noise(grain * 2.0)
    return 0.5 + 0.3 * rings.sin() + 0.2 * (smooth_noise(grain * 9.0) - 0.5)


def _bricks(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    along, up = _wall_coordinates(point, normal)
    row = (up / (0.4 * period)).floor()
    shifted = along / period + 0.5 * row.remainder(2.0)
    joint_up = (up / (0.4 * period)).remainder(1.0) < 0.14
    joint_along = shifted.remainder(1.0) < 0.06
    shade = 0.5 * smooth_noise(torch.stack((shifted.floor(), row, row), -1) * 3.7)
    return torch.where(joint_up | joint_along, 1.0, shade)


def _windows(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    along, up = _wall_coordinates(point, normal)
    across, level = (along / period).remainder(1.0), (up / period).remainder(1.0)
    glass = (across > 0.28) & (across < 0.72) & (level > 0.2) & (level < 0.75)
    bar = ((across - 0.5).abs() < 0.02) | ((level - 0.5).abs() < 0.02)
    roof = normal[..., 2].abs() > 0.5
    return torch.where(glass & ~bar & ~roof, 1.0, 0.25 * layered_noise(point * 0.8))


def _road(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    """Return asphalt (0 to 0.4) with lane markings (1); `period` scales the dashes."""
    x, y, _ = point.unbind(-1)
    dashes = (y.abs() < 0.07) & ((x / period).remainder(1.0) < 0.5)
    edges = (y.abs() - _LANE_M).abs() < 0.07
    worn = layered_noise(point * 3.0) > 0.28
    return torch.where((dashes | edges) & worn, 1.0, 0.4 * layered_noise(point * 0.7, 4))


_PATTERNS: dict[Pattern, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    Pattern.PLAIN: _plain,
    Pattern.NOISE: _noise,
    Pattern.CHECKER: _checker,
    Pattern.STRIPES: _stripes,
    Pattern.WOOD: _wood,
    Pattern.BRICKS: _bricks,
    Pattern.WINDOWS: _windows,
    Pattern.ROAD: _road,
}
