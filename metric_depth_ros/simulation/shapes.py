# SPDX-License-Identifier: Apache-2.0
"""Unit shapes: where a ray passes them, which way they face, how far they reach. torch only."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_TINY = 1e-9

Planes = tuple[Tensor, Tensor, Tensor]
# Near and far distances at which rays enter and leave a convex unit shape; near > far: a miss.
Interval = tuple[Tensor, Tensor]


class Shape(NamedTuple):
    """A unit shape: where rays (start, along) pass it, its outward normal and its half width.

    The half width is asked for along a direction in the shape's axes, scaled by its half extents.
    """

    interval: Callable[[Planes, Planes], Interval]
    outward: Callable[[Tensor], Tensor]
    reach: Callable[[Tensor], Tensor]


def _box_interval(start: Planes, along: Planes) -> Interval:
    near, far = _slab(start[0], along[0])
    for s, a in zip(start[1:], along[1:], strict=True):
        low, high = _slab(s, a)
        near, far = torch.maximum(near, low), torch.minimum(far, high)
    return near, far


def _slab(start: Tensor, along: Tensor) -> Interval:
    inverse = 1.0 / torch.where(along.abs() < _TINY, _TINY, along)
    middle, reach = -start * inverse, inverse.abs()
    return middle - reach, middle + reach


def _sphere_interval(start: Planes, along: Planes) -> Interval:
    x, y, z = start
    dx, dy, dz = along
    return _quadratic_interval(
        dx * dx + dy * dy + dz * dz, x * dx + y * dy + z * dz, x * x + y * y + z * z - 1.0
    )


def _cylinder_interval(start: Planes, along: Planes) -> Interval:
    x, y, z = start
    dx, dy, dz = along
    near, far = _quadratic_interval(dx * dx + dy * dy, x * dx + y * dy, x * x + y * y - 1.0)
    low, high = _slab(z, dz)
    return torch.maximum(near, low), torch.minimum(far, high)


def _quadratic_interval(a: Tensor, b: Tensor, c: Tensor) -> Interval:
    """Return where a t^2 + 2 b t + c is negative."""
    a = a.clamp(min=_TINY)  # along the axis of a cylinder, which goes on for ever
    inverse = 1.0 / a
    square = b * b - a * c
    root = square.clamp(min=0.0).sqrt()  # no NaN: they make a CPU slow
    far = torch.where(square >= 0.0, (root - b) * inverse, -torch.inf)
    return (-b - root) * inverse, far


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


def _box_reach(direction: Tensor) -> Tensor:
    return direction.abs().sum(-1)


def _sphere_reach(direction: Tensor) -> Tensor:
    return direction.norm(dim=-1)


def _cylinder_reach(direction: Tensor) -> Tensor:
    return direction[..., :2].norm(dim=-1) + direction[..., 2].abs()


BOX = Shape(_box_interval, _box_outward, _box_reach)
SPHERE = Shape(_sphere_interval, _sphere_outward, _sphere_reach)
CYLINDER = Shape(_cylinder_interval, _cylinder_outward, _cylinder_reach)
