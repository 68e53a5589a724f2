# SPDX-License-Identifier: Apache-2.0
"""The one ray caster: any rays, any device, a batch of worlds. torch only.

Camera, LiDAR, shadow and projector rays are all rays. Distances count in lengths of the ray's
direction vector: a camera ray (x, y, 1) in its optical frame gives depth along the optical axis
directly, a unit vector gives range.

Rays that follow each other form bundles; a bundle is tested against the solids that its cone may
meet, and all such pairs of all worlds are worked off together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from metric_depth_ros.simulation.relief import ground_distance, ground_normal
from metric_depth_ros.simulation.shapes import BOX, CYLINDER, SPHERE, Shape
from metric_depth_ros.simulation.world import Solids, World

_NEAREST = 1e-4  # ignores the surface that a ray starts from
_TINY = 1e-9
_BUNDLE_RAYS = 256
_CONE_MARGIN = 1e-3
# Pairs in one go. A CPU gains from temporaries that stay in its cache; a GPU must be kept busy.
_PAIRS = {'cpu': 64, 'cuda': 1 << 15}
_SHADING_RELIEF_M = 0.3  # lower ground throws no shadow


@dataclass(frozen=True, eq=False)
class Hits:
    """Where rays end.

    Parameters
    ----------
    distance
        (B, R) in lengths of the direction vector; +Inf where a ray meets nothing.
    normal
        (B, R, 3) unit normals that face the ray's origin; zero where it meets nothing.
    local_point, local_normal
        (B, R, 3) in the solid's own axes, in meters, for textures.
    material
        (B, R) rows of `Materials`; -1 where a ray meets nothing.
    """

    distance: Tensor
    normal: Tensor
    local_point: Tensor
    local_normal: Tensor
    material: Tensor

    @property
    def found(self) -> Tensor:
        """(B, R) bool: the ray meets something."""
        return self.material >= 0


def cast(world: World, origins: Tensor, directions: Tensor) -> Hits:
    """Follow rays to the first surface.

    Parameters
    ----------
    world
        B worlds.
    origins, directions
        (B, R, 3) meters in the frame of the world; a direction need not have length 1. What all
        rays share may be given once, (B, 1, 3), which is faster. Rays that follow each other
        should be neighbors.
    """
    rays = max(origins.shape[1], directions.shape[1])
    distance, solid = _first_solid(world, origins, directions, rays)
    ground = ground_distance(world.ground, origins, directions, distance)
    on_ground = ground < distance
    distance = torch.minimum(distance, ground)
    solid = torch.where(on_ground, -1, solid)
    point = origins + directions * torch.where(distance.isfinite(), distance, 0.0)[..., None]
    hits = _surfaces(world, distance, point, solid, on_ground)
    behind = (hits.normal * directions).sum(-1, keepdim=True) > 0.0
    return Hits(
        distance,
        torch.where(behind, -hits.normal, hits.normal),
        hits.local_point,
        hits.local_normal,
        hits.material,
    )


def blocked(world: World, origins: Tensor, directions: Tensor, limit: float) -> Tensor:
    """Tell which rays meet a surface before `limit`, in lengths of the direction; (B, R) bool.

    Ground that is nearly flat blocks nothing.
    """
    rays = max(origins.shape[1], directions.shape[1])
    nearest, _ = _first_solid(world, origins, directions, rays)
    if world.ground.amplitude.abs().sum(-1).max() > _SHADING_RELIEF_M:
        ground = ground_distance(world.ground, origins, directions, nearest)
        nearest = torch.minimum(nearest, ground)
    return nearest < limit


def narrowed(
    world: World, origin: Tensor, directions: Tensor, near_m: float, finest: float
) -> World:
    """Leave out the solids of one world that rays from one place hardly meet.

    Parameters
    ----------
    world
        A batch of one.
    origin, directions
        (3,) and (R, 3), the outermost rays among them.
    near_m
        Solids within this distance stay, whatever their direction: they throw shadows.
    finest
        Solids that appear smaller than this angle in radians go.
    """
    cones = _cones(origin[None, None, :, None], directions.T[None, None])
    kept = []
    for shape, solids in _groups(world):
        center = _centers(solids)
        radius = solids.size.norm(dim=-1)
        range_m = (center - origin).norm(dim=-1)
        met = _may_meet(cones, shape, solids)[:, 0] | (range_m - radius < near_m)
        kept.append(solids.chosen((met & (2.0 * radius > finest * range_m))[0]))
    return replace(world, boxes=kept[0], spheres=kept[1], cylinders=kept[2])


def _first_solid(
    world: World, origins: Tensor, directions: Tensor, rays: int
) -> tuple[Tensor, Tensor]:
    """Return (B, R) distances to the first solid and its number among all; +Inf and -1: none."""
    batch = len(origins)
    start, along = _bundled(origins), _bundled(directions)
    bundles = max(start.shape[1], along.shape[1])
    shape = (batch * bundles, _BUNDLE_RAYS)
    nearest = start.new_full(shape, torch.inf)
    solid = torch.full(shape, -1, dtype=torch.long, device=start.device)
    cones = _cones(start, along)
    first = 0
    for unit, solids in _groups(world):
        count = solids.material.shape[1]
        if count:
            b, t, n = _may_meet(cones, unit, solids).nonzero(as_tuple=True)
            step = _PAIRS[start.device.type]
            for pick in (slice(i, i + step) for i in range(0, len(b), step)):
                _take_nearer(
                    nearest,
                    solid,
                    _pair_distances(unit, solids, start, along, b[pick], t[pick], n[pick]),
                    b[pick] * bundles + t[pick],
                    n[pick] + first,
                )
        first += count
    return (
        nearest.reshape(batch, -1)[:, :rays],
        solid.reshape(batch, -1)[:, :rays],
    )


def _groups(world: World) -> tuple[tuple[Shape, Solids], ...]:
    return (BOX, world.boxes), (SPHERE, world.spheres), (CYLINDER, world.cylinders)


def _bundled(vectors: Tensor) -> Tensor:
    """Return (B, R, 3) vectors as bundles (B, T, 3, K), the last one filled up."""
    if vectors.shape[1] > 1 and vectors.stride(1) == 0:
        vectors = vectors[:, :1]
    rays = vectors.shape[1]
    if rays == 1:
        return vectors[..., None]
    missing = -rays % _BUNDLE_RAYS
    if missing:
        vectors = torch.cat((vectors, vectors[:, -1:].expand(-1, missing, -1)), 1)
    bundles = vectors.reshape(len(vectors), -1, _BUNDLE_RAYS, 3)
    return bundles.transpose(-1, -2).contiguous()


class _Cones(NamedTuple):
    """Cones around bundles: a cylinder around the origins, an axis, and the angle around it.

    Tensors are (B, T, 3) and (B, T, 1), or of one bundle where all share origin or direction.
    `aside` and `ahead` are the cylinder's radius and half length.
    """

    middle: Tensor
    aside: Tensor
    ahead: Tensor
    axis: Tensor
    sine: Tensor
    cosine: Tensor


def _cones(start: Tensor, along: Tensor) -> _Cones:
    middle = start.mean(-1)
    unit = along * _dot(along, along).clamp(min=_TINY).rsqrt()[:, :, None]
    axis = torch.nn.functional.normalize(unit.mean(-1), dim=-1)
    cosine = _dot(unit, axis[..., None])
    widest = cosine.amin(-1, keepdim=True)
    # A cone that is as wide as a half space holds everything: no angle.
    sine = (1.0 - widest * widest).clamp(min=0.0).sqrt() + _CONE_MARGIN
    cosine = torch.where(
        (widest > 0.0) & (sine < 1.0), (1.0 - sine * sine).clamp(min=0.0).sqrt(), torch.nan
    )
    offset = start - middle[..., None]
    ahead = _dot(offset, axis[..., None])
    aside = (_dot(offset, offset) - ahead * ahead).clamp(min=0.0).amax(-1, keepdim=True).sqrt()
    return _Cones(middle, aside, ahead.abs().amax(-1, keepdim=True), axis, sine, cosine)


def _dot(first: Tensor, second: Tensor) -> Tensor:
    """Return the dot products of (B, T, 3, K) vectors."""
    x, y, z = (first * second).unbind(2)
    return x + y + z


def _may_meet(cones: _Cones, shape: Shape, solids: Solids) -> Tensor:
    """Tell which solids the cones may meet, (B, T, N): no plane between them is found.

    The plane tried touches the cone on the side of the solid's center.
    """
    half = solids.size
    scaled = _scaled_axes(solids)
    toward = _centers(solids)[:, None] - cones.middle[:, :, None]
    ahead = (toward * cones.axis[:, :, None]).sum(-1)
    aside = toward - ahead[..., None] * cones.axis[:, :, None]
    outward = torch.nn.functional.normalize(aside, dim=-1)
    plane = cones.cosine[:, :, None] * outward - cones.sine[:, :, None] * cones.axis[:, :, None]
    reach = shape.reach(torch.einsum('btnk,bnik->btni', plane, scaled))
    spread = cones.cosine * cones.aside + cones.sine * cones.ahead
    gap = (toward * plane).sum(-1) - reach - spread
    behind = ahead + half.norm(dim=-1)[:, None] + cones.aside + cones.ahead < 0.0
    is_wide = cones.cosine.isnan()
    return ((gap <= 0.0) & ~behind) | (is_wide & ahead.isfinite())


def _scaled_axes(solids: Solids) -> Tensor:
    """Return (B, N, 3, 3) the solids' axes, row by row, as long as their half extents."""
    # The map is a rotation after a scale, so its inverse needs no solver.
    return solids.local_from_world[..., :3] * (solids.size**2)[..., None]


def _centers(solids: Solids) -> Tensor:
    return -(_scaled_axes(solids) * solids.local_from_world[..., 3:]).sum(-2)


def _pair_distances(
    shape: Shape, solids: Solids, start: Tensor, along: Tensor, b: Tensor, t: Tensor, n: Tensor
) -> Tensor:
    """Return the distances (P, K) of bundles to solids, pair by pair; from inside, to the way out.

    `b`, `t`, `n` number the worlds, the bundles in them and the solids in them.
    """
    maps = solids.local_from_world[b, n]
    axes, shift = maps[..., :3], maps[..., 3:]
    origin = start[b, t if start.shape[1] > 1 else 0]
    direction = along[b, t if along.shape[1] > 1 else 0]
    x, y, z = torch.baddbmm(shift, axes, origin).unbind(1)
    dx, dy, dz = torch.bmm(axes, direction).unbind(1)
    near, far = shape.interval((x, y, z), (dx, dy, dz))
    distance = torch.where(near > _NEAREST, near, far)
    hit = (near <= far) & (far > _NEAREST)
    return torch.where(hit, distance, torch.inf).expand(-1, _BUNDLE_RAYS)


def _take_nearer(
    nearest: Tensor, solid: Tensor, distance: Tensor, bundle: Tensor, number: Tensor
) -> None:
    """Update the nearest distances of bundles, in place, from pairs (P, K) in order of bundles."""
    rows = bundle[:, None].expand_as(distance)
    nearest.scatter_reduce_(0, rows, distance, 'amin')
    pair, ray = ((distance == nearest[bundle]) & distance.isfinite()).nonzero(as_tuple=True)
    solid[bundle[pair], ray] = number[pair]


def _surfaces(
    world: World, distance: Tensor, point: Tensor, solid: Tensor, on_ground: Tensor
) -> Hits:
    """Return what lies at the points where rays end; normals point outward."""
    normal = torch.zeros_like(point)
    local_point, local_normal = point.clone(), torch.zeros_like(point)
    material = torch.where(on_ground, world.ground.material[:, None], -1)
    b, r = on_ground.nonzero(as_tuple=True)
    normal[b, r] = local_normal[b, r] = ground_normal(world.ground, b, point[b, r])
    first = 0
    for shape, solids in _groups(world):
        count = solids.material.shape[1]
        b, r = ((solid >= first) & (solid < first + count)).nonzero(as_tuple=True)
        if len(b):
            n = solid[b, r] - first
            maps = solids.local_from_world[b, n]
            unit = (maps[..., :3] * point[b, r][:, None]).sum(-1) + maps[..., 3]
            outward = shape.outward(unit)
            across = (maps[..., :3] * outward[..., None]).sum(-2)
            normal[b, r] = torch.nn.functional.normalize(across, dim=-1)
            local_point[b, r] = unit * solids.size[b, n]
            local_normal[b, r] = outward
            material[b, r] = solids.material[b, n]
        first += count
    return Hits(distance, normal, local_point, local_normal, material)
