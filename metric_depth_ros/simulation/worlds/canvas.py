# SPDX-License-Identifier: Apache-2.0
"""`Canvas`: what a kind of world is composed with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from metric_depth_ros.simulation.things.looks import Looks
from metric_depth_ros.simulation.things.stage import Stage
from metric_depth_ros.simulation.world import Light, Vector, WorldBuilder
from metric_depth_ros.simulation.worlds.cameras import Pose

Composition = tuple[Pose, Light]
_Family = TypeVar('_Family')


@dataclass(frozen=True, eq=False)
class Canvas:
    """An empty world, chance, and looks.

    Parameters
    ----------
    build
        Collects the solids.
    rng
        Chance.
    look
        Adds a material by its name.
    unseen
        Only what training never sees may be drawn.
    """

    build: WorldBuilder
    rng: np.random.Generator
    look: Looks
    unseen: bool

    def stage(self, eye: Vector, yaw: float | None = None) -> Stage:
        """Return the stage of the world itself for a camera at `eye` that looks along `yaw`."""
        ahead = (0.0, 0.0) if yaw is None else (math.cos(yaw), math.sin(yaw))
        return Stage(self.build, self.rng, self.look, eye, ahead=ahead)

    def family(
        self, families: Mapping[str, _Family], unseen_families: Mapping[str, _Family]
    ) -> _Family:
        """Return one of the families that may be drawn."""
        choices = tuple((unseen_families if self.unseen else families).values())
        return choices[self.rng.integers(len(choices))]

    def between(self, low: float, high: float) -> float:
        """Return any number between two, all scales of it alike."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))
