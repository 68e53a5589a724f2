# SPDX-License-Identifier: Apache-2.0
"""`World`: what the ray caster sees, as tensors; `WorldBuilder` puts one together. torch only.

Coordinates are meters, x forward, y left, z up (REP-103). A solid is a unit shape (box from -1 to
1, sphere of radius 1, cylinder of radius 1 and z from -1 to 1) moved by an affine map, so that
boxes, bricks, ellipsoids and poles need three intersection tests in all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RGB = tuple[float, float, float]
Vector = tuple[float, float, float]
Rotation = NDArray[np.float64]
_UPRIGHT: Rotation = np.eye(3)
_Tensors = TypeVar('_Tensors', bound='_TensorRecord')


class Pattern(IntEnum):
    """How the two colors of a material are laid over a surface."""

    PLAIN = 0
    NOISE = 1
    CHECKER = 2
    STRIPES = 3
    WOOD = 4
    BRICKS = 5
    WINDOWS = 6
    ROAD = 7
    TILES = 8
    DOTS = 9
    PATCHES = 10
    GLYPHS = 11
    WAVES = 12


class _TensorRecord:
    """Moving between devices, for dataclasses that hold tensors and records of tensors."""

    def to(self: _Tensors, device: torch.device | str) -> _Tensors:
        """Return a copy on another device."""
        return type(self)(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Solids(_TensorRecord):
    """Solids of one unit shape.

    Parameters
    ----------
    local_from_world
        (B, N, 3, 4) affine maps into the coordinates of the unit shape.
    size
        (B, N, 3) half extents in meters; textures are laid out in meters.
    material
        (B, N) rows of `Materials`.
    """

    local_from_world: Tensor
    size: Tensor
    material: Tensor

    def chosen(self, which: Tensor) -> Solids:
        """Return those that a (N,) mask names."""
        return Solids(
            self.local_from_world[:, which], self.size[:, which], self.material[:, which]
        )


@dataclass(frozen=True, eq=False)
class Relief(_TensorRecord):
    """The ground: a sum of waves around z = 0.

    Parameters
    ----------
    amplitude, phase
        (B, W) meters and radians.
    wave
        (B, W, 2) wave vectors in radians per meter.
    material
        (B,) rows of `Materials`.
    """

    amplitude: Tensor
    phase: Tensor
    wave: Tensor
    material: Tensor


@dataclass(frozen=True, eq=False)
class Materials(_TensorRecord):
    """Surface looks, and how they answer to active sensors.

    Parameters
    ----------
    pattern
        (B, M) a `Pattern` each.
    color, second_color
        (B, M, 3) linear RGB in [0, 1].
    period
        (B, M) size of the pattern in meters.
    gloss
        (B, M) strength of the mirror-like part in [0, 1].
    offset
        (B, M, 3) shift of the pattern, in periods, so that no two surfaces need look alike.
    """

    pattern: Tensor
    color: Tensor
    second_color: Tensor
    period: Tensor
    gloss: Tensor
    offset: Tensor


@dataclass(frozen=True, eq=False)
class Light(_TensorRecord):
    """One lamp or the sun, and the light from everywhere.

    Parameters
    ----------
    position
        (B, 4) homogeneous: w = 1 a lamp at a point, w = 0 the direction toward the sun.
    color
        (B, 3) linear RGB of the lamp; for a lamp at a point, as received at 2 m.
    ambient
        (B, 3) linear RGB from above; surfaces that face down receive less.
    sky
        (B, 3) linear RGB of the sky at the horizon; haze takes its color.
    haze
        (B,) distance in meters over which the view fades to 37 %.
    shade
        (B,) how dark shadows are, from 0, none, as of a wide light, to 1.
    """

    position: Tensor
    color: Tensor
    ambient: Tensor
    sky: Tensor
    haze: Tensor
    shade: Tensor


@dataclass(frozen=True, eq=False)
class World(_TensorRecord):
    """All that can be seen. Every tensor has a leading batch dimension B, one world each."""

    boxes: Solids
    spheres: Solids
    cylinders: Solids
    ground: Relief
    materials: Materials
    light: Light

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return self.light.position.device


def linear(red: int, green: int, blue: int) -> RGB:
    """Return the linear color of an 8-bit sRGB color."""
    r, g, b = ((c / 255.0) ** 2.2 for c in (red, green, blue))
    return r, g, b


def rotation(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Rotation:
    """Return the (3, 3) rotation Rz(yaw) Ry(pitch) Rx(roll), angles in radians."""
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


class WorldBuilder:
    """Collect solids and materials one by one, then `build` the tensors of one world."""

    def __init__(self) -> None:
        self._solids: dict[str, list[tuple[Vector, Vector, Rotation, int]]] = {
            'boxes': [],
            'spheres': [],
            'cylinders': [],
        }
        self._materials: list[tuple[Pattern, RGB, RGB, float, float, Vector]] = []
        self._waves: list[tuple[float, float, float, float]] = []
        self._ground_material = 0

    def material(
        self,
        color: RGB,
        second_color: RGB | None = None,
        pattern: Pattern = Pattern.NOISE,
        period: float = 0.3,
        gloss: float = 0.0,
        offset: Vector = (0.0, 0.0, 0.0),
    ) -> int:
        """Add a material and return its number; one color alone is given a darker second."""
        if second_color is None:
            r, g, b = (0.6 * c for c in color)
            second_color = (r, g, b)
        self._materials.append((pattern, color, second_color, period, gloss, offset))
        return len(self._materials) - 1

    def box(
        self, center: Vector, size: Vector, material: int, turn: Rotation | None = None
    ) -> None:
        """Add a box; `size` is its full extent along its own axes in meters."""
        self._add('boxes', center, (size[0] / 2, size[1] / 2, size[2] / 2), material, turn)

    def ellipsoid(
        self, center: Vector, radii: Vector, material: int, turn: Rotation | None = None
    ) -> None:
        """Add an ellipsoid with three radii in meters."""
        self._add('spheres', center, radii, material, turn)

    def cylinder(
        self,
        center: Vector,
        radius: float,
        length: float,
        material: int,
        turn: Rotation | None = None,
    ) -> None:
        """Add a cylinder along its own z axis; `length` from end to end in meters."""
        self._add('cylinders', center, (radius, radius, length / 2), material, turn)

    def ground(
        self,
        material: int,
        waves: Sequence[tuple[float, float, float, float]] = (),
    ) -> None:
        """Set the ground at z = 0.

        Parameters
        ----------
        material
            Number of its material.
        waves
            (amplitude in m, length along x in m, length along y in m, phase) each.
        """
        self._ground_material = material
        self._waves = list(waves)

    def build(self, light: Light) -> World:
        """Return the world, a batch of one."""
        pattern, color, second, period, gloss, offset = zip(*self._materials, strict=True)
        waves = torch.tensor(self._waves, dtype=torch.float32).reshape(1, -1, 4)
        return World(
            boxes=self._group('boxes'),
            spheres=self._group('spheres'),
            cylinders=self._group('cylinders'),
            ground=Relief(
                amplitude=waves[..., 0],
                phase=waves[..., 3],
                wave=2.0 * math.pi / waves[..., 1:3],
                material=torch.tensor([self._ground_material]),
            ),
            materials=Materials(
                torch.tensor([pattern]),
                torch.tensor([color], dtype=torch.float32),
                torch.tensor([second], dtype=torch.float32),
                torch.tensor([period], dtype=torch.float32),
                torch.tensor([gloss], dtype=torch.float32),
                torch.tensor([offset], dtype=torch.float32),
            ),
            light=light,
        )

    def _add(
        self, group: str, center: Vector, half: Vector, material: int, turn: Rotation | None
    ) -> None:
        self._solids[group].append((center, half, _UPRIGHT if turn is None else turn, material))

    def _group(self, name: str) -> Solids:
        solids = self._solids[name]
        if not solids:
            return Solids(
                torch.zeros(1, 0, 3, 4),
                torch.zeros(1, 0, 3),
                torch.zeros(1, 0, dtype=torch.long),
            )
        centers, halves, turns, materials = zip(*solids, strict=True)
        half = np.array(halves)
        to_local = np.array(turns).transpose(0, 2, 1) / half[..., None]
        shift = -(to_local @ np.array(centers)[..., None])
        local_from_world = np.concatenate((to_local, shift), -1).astype(np.float32)
        return Solids(
            torch.from_numpy(local_from_world)[None],
            torch.from_numpy(half.astype(np.float32))[None],
            torch.tensor([materials]),
        )
