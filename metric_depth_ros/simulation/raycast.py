# SPDX-License-Identifier: Apache-2.0
"""The one ray caster: any rays, any device, a batch of worlds. torch only.

Camera, LiDAR, shadow and projector rays are all rays. Distances count in lengths of the ray's
direction vector: a camera ray (x, y, 1) in its optical frame gives depth along the optical axis
directly, a unit vector gives range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from metric_depth_ros.simulation.world import Relief, Solids, World

_NEAREST = 1e-4  # ignores the surface that a ray starts from
_TINY = 1e-9
_RELIEF_STEPS = 12
_RELIEF_HALVINGS = 10
# Rays in one go: a bundle. A CPU gains from narrow bundles, which few solids can meet, and from
# temporaries that stay in its cache; a GPU must be kept busy.
_BUNDLE_RAYS = {'cpu': 1 << 11, 'cuda': 1 << 18}

# Near and far distances at which rays enter and leave a convex unit shape; near > far: a miss.
Interval = tuple[Tensor, Tensor]


class _Shape(NamedTuple):
    """A unit shape: where rays (start, along) pass it, and its outward normal at a point."""

    interval: Callable[[Tensor, Tensor], Interval]
    outward: Callable[[Tensor], Tensor]


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
        (B, R, 3) meters in the frame of the world; a direction need not have length 1.
    """
    groups = _groups(world)
    chunks = [
        _cast_bundle(world, _within(groups, o, d), o, d) for o, d in _bundles(origins, directions)
    ]
    return Hits(*(torch.cat([getattr(c, f.name) for c in chunks], 1) for f in fields(Hits)))


def blocked(world: World, origins: Tensor, directions: Tensor, limit: float) -> Tensor:
    """Tell which rays meet a surface before `limit`, in lengths of the direction; (B, R) bool."""
    groups = _groups(world)
    parts = []
    for o, d in _bundles(origins, directions):
        nearest = _ground_distance(world.ground, o, d)
        for group in _within(groups, o, d):
            nearest = torch.minimum(nearest, _distances(group, o, d).amin(-1))
        parts.append(nearest < limit)
    return torch.cat(parts, 1)


def ground_height(ground: Relief, x: Tensor, y: Tensor) -> Tensor:
    """Return the height of the ground at (B, R) coordinates, in meters."""
    angle = (
        ground.wave[:, None, :, 0] * x[..., None]
        + ground.wave[:, None, :, 1] * y[..., None]
        + ground.phase[:, None]
    )
    return (ground.amplitude[:, None] * angle.sin()).sum(-1)


@dataclass(frozen=True, eq=False)
class _Group:
    """Solids of one shape with spheres around them: centers (B, N, 3) and radii (B, N)."""

    shape: _Shape
    solids: Solids
    center: Tensor
    radius: Tensor


def _groups(world: World) -> list[_Group]:
    """Return the shapes that the worlds have any solids of."""
    groups = []
    for shape, solids in (
        (_BOX, world.boxes),
        (_SPHERE, world.spheres),
        (_CYLINDER, world.cylinders),
    ):
        if solids.material.shape[1]:
            axes, shift = solids.local_from_world[..., :3], solids.local_from_world[..., 3:]
            # The map is a rotation after a scale, so its inverse needs no solver.
            center = -(axes.transpose(-1, -2) @ (solids.size[..., None] ** 2 * shift))[..., 0]
            radius = solids.size.norm(dim=-1)
            groups.append(_Group(shape, solids, center, radius))
    return groups


def _bundles(origins: Tensor, directions: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    rays = _BUNDLE_RAYS[origins.device.type]
    yield from zip(origins.split(rays, 1), directions.split(rays, 1), strict=True)


def _within(groups: list[_Group], origins: Tensor, directions: Tensor) -> list[_Group]:
    """Return the solids that a bundle of rays may meet in any world of the batch.

    The bundle lies in a cone whose tip is blown up to a sphere around all origins.
    """
    middle = origins.mean(1, keepdim=True)
    spread = (origins - middle).norm(dim=-1).amax(1, keepdim=True)
    unit = torch.nn.functional.normalize(directions, dim=-1)
    axis = torch.nn.functional.normalize(unit.mean(1, keepdim=True), dim=-1)
    half_angle = (unit * axis).sum(-1).amin(1, keepdim=True).clamp(-1.0, 1.0).acos()
    kept = []
    for group in groups:
        toward = group.center - middle
        range_m = toward.norm(dim=-1)
        reach = group.radius + spread
        angle = ((toward * axis).sum(-1) / range_m).clamp(-1.0, 1.0).acos()
        met = (range_m <= reach) | (angle <= half_angle + (reach / range_m).clamp(max=1.0).asin())
        which = met.any(0).nonzero()[:, 0]
        if len(which):
            solids = group.solids
            chosen = Solids(
                solids.local_from_world[:, which], solids.size[:, which], solids.material[:, which]
            )
            kept.append(
                _Group(group.shape, chosen, group.center[:, which], group.radius[:, which])
            )
    return kept


def _cast_bundle(world: World, groups: list[_Group], origins: Tensor, directions: Tensor) -> Hits:
    distance = _ground_distance(world.ground, origins, directions)
    found = distance.isfinite()
    point = origins + directions * torch.where(found, distance, 0.0)[..., None]
    normal = _ground_normal(world.ground, point)
    local_point, local_normal = point, normal
    material = torch.where(found, world.ground.material[:, None], -1)
    for group in groups:
        nearest, which = _distances(group, origins, directions).min(-1)
        closer = nearest < distance
        if not closer.any():
            continue
        distance = torch.where(closer, nearest, distance)
        end = origins + directions * torch.where(closer, nearest, 0.0)[..., None]
        point_here, local_normal_here, normal_here = _surface(group, which, end)
        pick = closer[..., None]
        local_point = torch.where(pick, point_here, local_point)
        local_normal = torch.where(pick, local_normal_here, local_normal)
        normal = torch.where(pick, normal_here, normal)
        material = torch.where(closer, group.solids.material.gather(1, which), material)
    seen_from_behind = (normal * directions).sum(-1, keepdim=True) > 0.0
    normal = torch.where(seen_from_behind, -normal, normal) * (material >= 0)[..., None]
    return Hits(distance, normal, local_point, local_normal, material)


def _distances(group: _Group, origins: Tensor, directions: Tensor) -> Tensor:
    """Return (B, R, N) distances to each solid, +Inf for a miss; from inside, to the way out."""
    local_from_world = group.solids.local_from_world
    axes, shift = local_from_world[..., :3], local_from_world[..., 3]
    start = torch.einsum('brk,bnik->brni', origins, axes) + shift[:, None]
    along = torch.einsum('brk,bnik->brni', directions, axes)
    near, far = group.shape.interval(start, along)
    distance = torch.where(near > _NEAREST, near, far)
    return torch.where((near <= far) & (far > _NEAREST), distance, torch.inf)


def _box_interval(start: Tensor, along: Tensor) -> Interval:
    inverse = 1.0 / torch.where(along.abs() < _TINY, _TINY, along)
    middle = -start * inverse
    reach = inverse.abs()
    return (middle - reach).amax(-1), (middle + reach).amin(-1)


def _sphere_interval(start: Tensor, along: Tensor) -> Interval:
    return _quadratic_interval(
        (along * along).sum(-1), (start * along).sum(-1), (start * start).sum(-1) - 1.0
    )


def _cylinder_interval(start: Tensor, along: Tensor) -> Interval:
    x, y, z = start.unbind(-1)
    dx, dy, dz = along.unbind(-1)
    near, far = _quadratic_interval(dx * dx + dy * dy, x * dx + y * dy, x * x + y * y - 1.0)
    inverse = 1.0 / torch.where(dz.abs() < _TINY, _TINY, dz)
    middle, reach = -z * inverse, inverse.abs()
    return torch.maximum(near, middle - reach), torch.minimum(far, middle + reach)


def _quadratic_interval(a: Tensor, b: Tensor, c: Tensor) -> Interval:
    """Return where a t^2 + 2 b t + c is negative."""
    a = a.clamp(min=_TINY)  # along the axis of a cylinder, which goes on for ever
    root = (b * b - a * c).sqrt()  # NaN for a miss: every comparison with it is false
    return (-b - root) / a, (-b + root) / a


def _box_outward(unit: Tensor) -> Tensor:
    side = unit.abs().argmax(-1, keepdim=True)
    return torch.zeros_like(unit).scatter(-1, side, unit.gather(-1, side).sign())


def _sphere_outward(unit: Tensor) -> Tensor:
    return unit


def _cylinder_outward(unit: Tensor) -> Tensor:
    across, along = unit[..., :2], unit[..., 2:]
    on_cap = along.abs() > across.norm(dim=-1, keepdim=True)
    return torch.cat(
        (torch.where(on_cap, 0.0, across), torch.where(on_cap, along.sign(), 0.0)), -1
    )


_BOX = _Shape(_box_interval, _box_outward)
_SPHERE = _Shape(_sphere_interval, _sphere_outward)
_CYLINDER = _Shape(_cylinder_interval, _cylinder_outward)


def _surface(group: _Group, which: Tensor, end: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return local point (meters), local normal and world normal of the solids that were hit."""
    batch = torch.arange(len(which), device=which.device)[:, None]
    axes = group.solids.local_from_world[batch, which]
    size = group.solids.size[batch, which]
    unit = (axes[..., :3] @ end[..., None])[..., 0] + axes[..., 3]
    outward = group.shape.outward(unit)
    normal = (axes[..., :3].transpose(-1, -2) @ outward[..., None])[..., 0]
    return unit * size, outward, torch.nn.functional.normalize(normal, dim=-1)


def _ground_distance(ground: Relief, origins: Tensor, directions: Tensor) -> Tensor:
    """Return (B, R) distances to the ground, +Inf for rays that do not come down to it."""
    height, slope = origins[..., 2], directions[..., 2]
    falling = slope < -_TINY
    slope = torch.where(falling, slope, -1.0)
    if ground.amplitude.shape[1] and falling.any():
        distance = _relief_distance(ground, origins, directions, slope)
    else:
        distance = -height / slope
    return torch.where(falling & (distance > _NEAREST), distance, torch.inf)


def _relief_distance(ground: Relief, origins: Tensor, directions: Tensor, slope: Tensor) -> Tensor:
    """Return where falling rays pass through the relief: first in steps, then by halving."""

    def above(distance: Tensor) -> Tensor:
        x, y, z = (origins + directions * distance[..., None]).unbind(-1)
        return z > ground_height(ground, x, y)

    highest = ground.amplitude.abs().sum(-1, keepdim=True)
    height = origins[..., 2]
    start = ((highest - height) / slope).clamp(min=0.0)
    step = ((-highest - height) / slope - start) / _RELIEF_STEPS
    low, high = start, start + step
    for _ in range(_RELIEF_STEPS - 1):
        still_above = above(high)
        low = torch.where(still_above, high, low)
        high = torch.where(still_above, high + step, high)
    for _ in range(_RELIEF_HALVINGS):
        middle = 0.5 * (low + high)
        still_above = above(middle)
        low = torch.where(still_above, middle, low)
        high = torch.where(still_above, high, middle)
    return 0.5 * (low + high)


def _ground_normal(ground: Relief, point: Tensor) -> Tensor:
    x, y, _ = point.unbind(-1)
    step = 0.05
    if ground.amplitude.shape[1]:
        slope_x = (ground_height(ground, x + step, y) - ground_height(ground, x - step, y)) / 0.1
        slope_y = (ground_height(ground, x, y + step) - ground_height(ground, x, y - step)) / 0.1
    else:
        slope_x = slope_y = torch.zeros_like(x)
    normal = torch.stack((-slope_x, -slope_y, torch.ones_like(x)), -1)
    return torch.nn.functional.normalize(normal, dim=-1)
