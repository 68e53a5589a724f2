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

_LATTICE = 16
_LAYERS = 3
_LATTICE_SEED = 20_260_101  # the same noise everywhere: materials differ by their offset in it
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
    shifted = point + materials.offset[batch, row] * period[..., None]
    mix = torch.zeros_like(period)
    for kind, weight in _PATTERNS.items():
        chosen = pattern == kind
        if chosen.any():
            place = point if kind == Pattern.ROAD else shifted  # lanes lie where the road does
            value = weight(place[chosen], hits.local_normal[chosen], period[chosen])
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
    return _sampled(_noise_volume(1, point.device), point)


def layered_noise(point: Tensor) -> Tensor:
    """Return noise in [0, 1] with detail at several scales; (..., 3) to (...)."""
    return _sampled(_noise_volume(_LAYERS, point.device), point)


@lru_cache(maxsize=8)
def _noise_volume(layers: int, device: torch.device) -> Tensor:
    """Return (1, 1, N, N, N) noise that repeats; its finest layer is white."""
    generator = torch.Generator().manual_seed(_LATTICE_SEED)
    side = _LATTICE * 2 ** (layers - 1)
    total = torch.zeros(1, 1, side, side, side)
    for i in range(layers):
        cells = _LATTICE * 2**i
        white = torch.rand(1, 1, cells, cells, cells, generator=generator)
        closed = torch.nn.functional.pad(white, (0, 1) * 3, 'circular')
        size = (side + side // cells,) * 3
        fine = torch.nn.functional.interpolate(closed, size, mode='trilinear')
        total = total + fine[..., :side, :side, :side] * 0.5 ** (i + 1)
    total = total / (1.0 - 0.5**layers)
    return torch.nn.functional.pad(total, (0, 1) * 3, 'circular').to(device)


def _sampled(volume: Tensor, point: Tensor) -> Tensor:
    """Return a repeating volume at points; it repeats after `_LATTICE`."""
    grid = point.remainder(_LATTICE) * (2.0 / _LATTICE) - 1.0
    values = torch.nn.functional.grid_sample(
        volume, grid.reshape(1, 1, 1, -1, 3), align_corners=True
    )
    return values.reshape(point.shape[:-1])


def _wall_coordinates(point: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Return coordinates along and up a wall, whichever way the wall faces."""
    x, y, z = point.unbind(-1)
    return torch.where(normal[..., 0].abs() > normal[..., 1].abs(), y, x), z


def _plain(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    return torch.zeros_like(period)


def _noise(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    value = layered_noise(point / period[..., None])
    return (0.5 + 1.7 * (value - 0.5)).clamp(0.0, 1.0)


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
    return torch.where((dashes | edges) & worn, 1.0, 0.4 * layered_noise(point * 0.7))


def _tiles(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    """Return tiles (0 to 0.5, each its own shade) with joints (1)."""
    flat = normal[..., 2].abs() > 0.5
    along, up = _wall_coordinates(point, normal)
    u = torch.where(flat, point[..., 0], along) / period
    v = torch.where(flat, point[..., 1], up) / period
    joint = (u.remainder(1.0) < 0.05) | (v.remainder(1.0) < 0.05)
    shade = 0.5 * smooth_noise(torch.stack((u.floor(), v.floor(), u.floor()), -1) * 3.7)
    return torch.where(joint, 1.0, shade)


def _dots(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    cell = (point / period[..., None]).remainder(1.0) - 0.5
    return (cell.norm(dim=-1) < 0.4).float()


def _patches(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    return (smooth_noise(point / period[..., None]) > 0.5).float()


def _glyphs(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    """Return small cells at random, as of print."""
    cell = (point / (0.2 * period[..., None])).floor()
    line = cell[..., 2].remainder(3.0) > 0.0
    return ((smooth_noise(cell * 5.3) > 0.5) & line).float()


def _waves(point: Tensor, normal: Tensor, period: Tensor) -> Tensor:
    bent = (
        point / period[..., None]
        + 0.4 * smooth_noise(point / (0.5 * period[..., None]))[..., None]
    )
    return 0.5 + 0.5 * (6.28 * bent.sum(-1)).sin()


_PATTERNS: dict[Pattern, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    Pattern.PLAIN: _plain,
    Pattern.NOISE: _noise,
    Pattern.CHECKER: _checker,
    Pattern.STRIPES: _stripes,
    Pattern.WOOD: _wood,
    Pattern.BRICKS: _bricks,
    Pattern.WINDOWS: _windows,
    Pattern.ROAD: _road,
    Pattern.TILES: _tiles,
    Pattern.DOTS: _dots,
    Pattern.PATCHES: _patches,
    Pattern.GLYPHS: _glyphs,
    Pattern.WAVES: _waves,
}
