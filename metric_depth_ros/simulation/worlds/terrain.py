# SPDX-License-Identifier: Apache-2.0
"""Open country: relief, hills, rocks, plants, a few traces of people."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from metric_depth_ros.simulation.lights import random_daylight
from metric_depth_ros.simulation.things.buildings import add_fence, add_house, add_wall
from metric_depth_ros.simulation.things.people import add_person
from metric_depth_ros.simulation.things.roadside import add_wires
from metric_depth_ros.simulation.things.stage import Stage
from metric_depth_ros.simulation.things.vegetation import add_bush, add_grass, add_hedge, add_tree
from metric_depth_ros.simulation.things.vehicles import add_vehicle
from metric_depth_ros.simulation.world import rotation
from metric_depth_ros.simulation.worlds.cameras import Pose, random_tilt
from metric_depth_ros.simulation.worlds.canvas import Canvas, Composition


class Family(NamedTuple):
    """Country of one family.

    Parameters
    ----------
    ground
        Look of the ground.
    relief
        Height of its waves over their length, from and to.
    rocks, trees, bushes, tufts
        Numbers of them, at most.
    people
        Chance of each trace of people.
    """

    ground: str
    relief: tuple[float, float]
    rocks: int
    trees: int
    bushes: int
    tufts: int
    people: float


FAMILIES = {
    'meadow': Family('grass', (0.002, 0.02), 6, 14, 14, 14, 0.3),
    'forest': Family('soil', (0.005, 0.025), 8, 45, 20, 10, 0.05),
    'desert': Family('soil', (0.005, 0.04), 45, 2, 6, 6, 0.1),
}
UNSEEN_FAMILIES = {
    'quarry': Family('rock', (0.01, 0.05), 60, 4, 4, 2, 0.3),
    'orchard': Family('grass', (0.002, 0.01), 2, 50, 4, 16, 0.3),
}
_LENGTHS_M = (12.0, 30.0, 75.0, 190.0)


def random_waves(
    rng: np.random.Generator, family: Family
) -> list[tuple[float, float, float, float]]:
    """Return waves of several lengths, as `WorldBuilder.ground` takes them."""
    waves = []
    steep = rng.uniform(*family.relief)
    for length in _LENGTHS_M:
        yaw = rng.uniform(0.0, 2.0 * math.pi)
        x, y = length / (math.cos(yaw) + 1e-3), length / (math.sin(yaw) + 1e-3)
        waves.append((steep * length * rng.uniform(0.3, 1.0), x, y, rng.uniform(0.0, 6.28)))
    return waves


def height_of(waves: list[tuple[float, float, float, float]], x: float, y: float) -> float:
    """Return the height of the ground at one place."""
    return sum(
        a * math.sin(2.0 * math.pi * (x / along_x + y / along_y) + phase)
        for a, along_x, along_y, phase in waves
    )


def compose(canvas: Canvas) -> Composition:
    """Compose open country as something that walks, rolls or flies sees it."""
    rng = canvas.rng
    family = canvas.family(FAMILIES, UNSEEN_FAMILIES)
    waves = random_waves(rng, family)
    pitch, roll = random_tilt(rng, 6.0, 3.0)
    above = float(rng.uniform(0.4, 2.2))
    if rng.random() < 0.4:
        above, pitch = canvas.between(2.5, 60.0), math.radians(rng.uniform(2.0, 70.0))
    eye = (0.0, 0.0, height_of(waves, 0.0, 0.0) + above)
    yaw = float(rng.uniform(-math.pi, math.pi))
    add_terrain(canvas.stage(eye, yaw), family, waves)
    return Pose(eye, yaw, pitch + 0.05, roll), random_daylight(rng)


def add_terrain(
    stage: Stage, family: Family, waves: list[tuple[float, float, float, float]]
) -> None:
    """Add open country around the camera's place."""
    stage.build.ground(stage.look(family.ground), waves)

    def spot(nearest_m: float, farthest_m: float) -> Stage:
        """Return a place on the ground, near ones as likely as far ones."""
        range_m = math.exp(stage.draw(math.log(nearest_m), math.log(farthest_m)))
        yaw = stage.draw(-math.pi, math.pi)
        x, y = stage.eye[0] + range_m * math.cos(yaw), stage.eye[1] + range_m * math.sin(yaw)
        return stage.at(x, y, height_of(waves, x, y) - 0.05, stage.draw(0.0, 6.28))

    def some(most: int) -> range:
        return range(int(stage.rng.integers(0, most + 1)))

    for _ in some(family.rocks):
        add_rock(spot(1.0, 80.0))
    for _ in some(family.trees):
        add_tree(spot(3.0, 110.0))
    for _ in some(family.bushes):
        add_bush(spot(2.0, 60.0))
    for _ in some(family.tufts):
        add_grass(spot(0.8, 15.0))
    for add, farthest_m in ((add_house, 120.0), (add_vehicle, 60.0), (add_person, 30.0)):
        if stage.chance(family.people):
            add(spot(5.0, farthest_m))
    for add_long in (add_fence, add_wall, add_hedge):
        if stage.chance(family.people):
            add_long(spot(4.0, 30.0), stage.draw(5.0, 25.0))
    if stage.chance(0.3 * family.people):
        add_wires(spot(8.0, 30.0), 120.0)
    for _ in some(4):
        _add_hill(spot(120.0, 400.0), stage.look(family.ground))


def add_rock(stage: Stage) -> None:
    """Add a rock of any size, some solids grown into each other."""
    rock = stage.look('rock')
    size = math.exp(stage.draw(math.log(0.08), math.log(2.5)))
    for _ in range(stage.pieces(int(stage.rng.integers(3, 9)))):
        x, y = (stage.rng.uniform(-0.6, 0.6, 2) * size).tolist()
        rx, ry, rz = (stage.rng.uniform(0.2, 0.9, 3) * size).tolist()
        turn = rotation(*stage.rng.uniform(-0.8, 0.8, 3))
        if stage.chance(0.5):
            stage.ellipsoid((x, y, 0.1 * size), (rx, ry, rz), rock, turn)
        else:
            stage.box((x, y, 0.1 * size), (rx, ry, rz), rock, turn)


def _add_hill(stage: Stage, look: int) -> None:
    x, y, z = stage.draw(40.0, 150.0), stage.draw(40.0, 100.0), stage.draw(8.0, 60.0)
    stage.ellipsoid((0.0, 0.0, -0.2 * z), (x, y, z), look)
