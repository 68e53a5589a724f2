# SPDX-License-Identifier: Apache-2.0
"""`Stage`: where things are put together in their own axes, with chance and looks at hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from metric_depth_ros.simulation.things.looks import Looks
from metric_depth_ros.simulation.world import Rotation, Vector, WorldBuilder, rotation

_BEHIND_M = 3.0


@dataclass(frozen=True, eq=False)
class Stage:
    """A place in a world that is being built.

    Parameters
    ----------
    build
        Collects the solids.
    rng
        Chance.
    look
        Adds a material by its name: ``stage.look('wood')``.
    eye
        Where the camera will be, in the world; things far from it are made of fewer pieces.
    origin, turn, scale
        The place's own axes in the world.
    sharp_range_m
        Up to here things are made of all their pieces.
    ahead
        Where the camera looks, x and y of a unit vector; (0, 0) anywhere. Things behind it, which
        only throw shadows, are made of few pieces.
    """

    build: WorldBuilder
    rng: np.random.Generator
    look: Looks
    eye: Vector = (0.0, 0.0, 0.0)
    origin: Vector = (0.0, 0.0, 0.0)
    turn: Rotation | None = None
    scale: float = 1.0
    sharp_range_m: float = 12.0
    ahead: tuple[float, float] = (0.0, 0.0)

    def at(
        self, x: float, y: float, z: float = 0.0, yaw: float = 0.0, scale: float = 1.0
    ) -> Stage:
        """Return the stage of a thing that stands at (x, y, z) and is turned about z."""
        return self.posed((x, y, z), rotation(yaw) if yaw else None, scale)

    def posed(self, place: Vector, turn: Rotation | None, scale: float = 1.0) -> Stage:
        """Return the stage of a thing with any attitude."""
        return replace(
            self, origin=self._world(place), turn=self._turned(turn), scale=self.scale * scale
        )

    def box(
        self, center: Vector, size: Vector, material: int, turn: Rotation | None = None
    ) -> None:
        """Add a box; `size` is its full extent along its own axes in meters."""
        self.build.box(self._world(center), self._scaled(size), material, self._turned(turn))

    def ellipsoid(
        self, center: Vector, radii: Vector, material: int, turn: Rotation | None = None
    ) -> None:
        """Add an ellipsoid with three radii in meters."""
        self.build.ellipsoid(
            self._world(center), self._scaled(radii), material, self._turned(turn)
        )

    def cylinder(
        self,
        center: Vector,
        radius: float,
        length: float,
        material: int,
        turn: Rotation | None = None,
    ) -> None:
        """Add a cylinder along its own z axis; `length` from end to end in meters."""
        self.build.cylinder(
            self._world(center),
            radius * self.scale,
            length * self.scale,
            material,
            self._turned(turn),
        )

    def rod(self, start: Vector, end: Vector, radius: float, material: int) -> None:
        """Add a thin cylinder from one point to another."""
        along = np.subtract(end, start)
        length = float(np.linalg.norm(along))
        yaw, lean = math.atan2(along[1], along[0]), math.acos(along[2] / length)
        x, y, z = (np.add(start, end) / 2.0).tolist()
        self.cylinder((x, y, z), radius, length, material, rotation(yaw, lean))

    def pieces(self, most: int) -> int:
        """Return how many pieces a thing here deserves, at least 3, fewer far from the camera."""
        x, y = self.origin[0] - self.eye[0], self.origin[1] - self.eye[1]
        if x * self.ahead[0] + y * self.ahead[1] < -_BEHIND_M:
            return 3
        range_m = math.dist(self.eye, self.origin)
        return max(3, round(most * min(1.0, self.sharp_range_m / max(range_m, 1e-3))))

    def chance(self, probability: float) -> bool:
        """Tell whether something happens."""
        return bool(self.rng.random() < probability)

    def draw(self, low: float, high: float) -> float:
        """Return any number between two."""
        return float(self.rng.uniform(low, high))

    def _world(self, point: Vector) -> Vector:
        x, y, z = (self.scale * p for p in point)
        if self.turn is not None:
            x, y, z = (self.turn @ (x, y, z)).tolist()
        return self.origin[0] + x, self.origin[1] + y, self.origin[2] + z

    def _turned(self, turn: Rotation | None) -> Rotation | None:
        if self.turn is None or turn is None:
            return turn if self.turn is None else self.turn
        product: Rotation = self.turn @ turn
        return product

    def _scaled(self, size: Vector) -> Vector:
        return size[0] * self.scale, size[1] * self.scale, size[2] * self.scale
