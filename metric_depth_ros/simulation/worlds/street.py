# SPDX-License-Identifier: Apache-2.0
"""Streets along x, the middle of the road at y = 0."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.simulation.lights import random_daylight, random_night
from metric_depth_ros.simulation.things.buildings import (
    add_building,
    add_container,
    add_fence,
    add_gate,
    add_guardrail,
    add_house,
    add_wall,
)
from metric_depth_ros.simulation.things.people import add_person
from metric_depth_ros.simulation.things.roadside import ROADSIDE, add_lamp_post, add_wires
from metric_depth_ros.simulation.things.stage import Stage
from metric_depth_ros.simulation.things.vegetation import add_bush, add_grass, add_hedge, add_tree
from metric_depth_ros.simulation.things.vehicles import (
    add_bicycle,
    add_car,
    add_hood,
    add_truck,
    add_vehicle,
)
from metric_depth_ros.simulation.worlds.cameras import Pose, random_tilt
from metric_depth_ros.simulation.worlds.canvas import Canvas, Composition

_FROM_M, _TO_M = -30.0, 130.0
_RIM_M = 0.13  # height of a curb


class Family(NamedTuple):
    """What streets of one family have along their sides.

    Parameters
    ----------
    road
        Half the width of the road in meters, from and to.
    verge
        Width of what lies between the road and the back row: sidewalk or lawn.
    back
        What stands behind: 'buildings', 'houses', 'forest', 'containers' or 'nothing'.
    parked, traffic, trees, roadside, people
        Chances, or shares of their rows that are filled.
    barrier
        Chance of a fence, a wall, a hedge or a guard rail along the verge.
    """

    road: tuple[float, float]
    verge: tuple[float, float]
    back: str
    parked: float
    traffic: float
    trees: float
    roadside: float
    people: float
    barrier: float


FAMILIES = {
    'urban': Family((3.5, 8.0), (2.0, 6.0), 'buildings', 0.6, 0.5, 0.4, 0.6, 0.6, 0.2),
    'suburb': Family((2.5, 5.0), (3.0, 9.0), 'houses', 0.35, 0.3, 0.6, 0.4, 0.25, 0.5),
    'alley': Family((2.5, 5.0), (2.0, 8.0), 'forest', 0.1, 0.4, 0.9, 0.2, 0.1, 0.3),
    'highway': Family((7.0, 14.0), (2.0, 10.0), 'forest', 0.0, 0.9, 0.3, 0.2, 0.0, 0.9),
    'parking': Family((4.0, 12.0), (5.0, 12.0), 'buildings', 0.95, 0.4, 0.3, 0.4, 0.5, 0.3),
}
UNSEEN_FAMILIES = {
    'yard': Family((4.0, 10.0), (1.0, 4.0), 'containers', 0.3, 0.3, 0.1, 0.5, 0.4, 0.5),
    'plaza': Family((8.0, 20.0), (3.0, 8.0), 'buildings', 0.0, 0.1, 0.4, 0.9, 0.9, 0.3),
}


def compose(canvas: Canvas) -> Composition:
    """Compose a street as a car sees it, or something small on the sidewalk."""
    rng = canvas.rng
    family = canvas.family(FAMILIES, UNSEEN_FAMILIES)
    road_m = float(rng.uniform(*family.road))
    pitch, roll = random_tilt(rng, 3.0, 1.0)
    yaw = rng.uniform(-math.pi, math.pi)
    if rng.random() < 0.85:
        eye = (0.0, float(rng.uniform(-0.8, 0.3)) * road_m, float(rng.uniform(1.2, 2.2)))
        if rng.random() < 0.65:
            yaw = rng.normal(0.0, 0.06)
    else:
        eye = (0.0, (road_m + 1.2) * float(rng.choice((-1.0, 1.0))), float(rng.uniform(0.4, 1.7)))
    stage = canvas.stage(eye, yaw)
    add_street(stage, family, road_m)
    if stage.chance(0.12):
        add_hood(stage.at(*eye, float(yaw)))
    light = random_night(rng, eye) if stage.chance(0.08) else random_daylight(rng)
    return Pose(eye, float(yaw), pitch + 0.03, roll), light


def add_street(stage: Stage, family: Family, road_m: float) -> None:
    """Add a street whose road reaches `road_m` to both sides of its middle."""
    grassy = family.back in ('forest', 'houses')
    _add_ground(stage, family, road_m)
    for side in (-1.0, 1.0):
        edge = stage.at(0.0, side * road_m, 0.0, 0.0 if side > 0.0 else math.pi)
        verge_m = stage.draw(*family.verge)
        surface = stage.look('grass' if grassy and stage.chance(0.8) else 'paving')
        middle = (_FROM_M + _TO_M) / 2 * side
        rim = (middle, verge_m / 2, _RIM_M / 2 - 0.25)
        edge.box(rim, (_TO_M - _FROM_M, verge_m, _RIM_M + 0.5), surface)
        along = side * np.sort(stage.rng.uniform(_FROM_M, _TO_M, 400))
        _add_verge(edge, family, verge_m, along, side)
        _add_back(edge.at(0.0, verge_m), family, side)
        _add_parked(edge, family, side)
    _add_traffic(stage, family, road_m)
    if stage.chance(0.15):
        add_gate(stage.at(stage.draw(8.0, 70.0), 0.0, 0.0, math.pi / 2), 5.5, 2.0 * road_m + 2.0)
    _add_skyline(stage)


def _add_ground(stage: Stage, family: Family, road_m: float) -> None:
    surface = 'road' if family.back != 'nothing' and stage.chance(0.7) else 'asphalt'
    # Settled asphalt: a few centimeters up and down, so that the ground is no perfect plane.
    waves = [
        (stage.draw(0.005, 0.03), stage.draw(15.0, 40.0), stage.draw(20.0, 60.0), stage.draw(0, 6))
        for _ in range(2)
    ]
    stage.build.ground(stage.look(surface), waves)


def _add_verge(
    edge: Stage, family: Family, verge_m: float, along: NDArray[np.float64], side: float
) -> None:
    """Add what stands between the road and the back row; x of the stage runs with `side`."""
    _add_barrier(edge, family, verge_m, side)
    spots = iter(along.tolist())
    for _ in range(round(10 * family.roadside)):
        add = ROADSIDE[_index(edge, len(ROADSIDE))]
        add(edge.at(next(spots), edge.draw(0.3, 0.9), _RIM_M))
    if edge.chance(family.roadside):
        step, shift = edge.draw(12.0, 30.0), edge.draw(0.0, 10.0)
        for x in np.arange(_FROM_M + shift, _TO_M, step):
            add_lamp_post(edge.at(side * float(x), 0.6, _RIM_M))
    for _ in range(round(14 * family.trees)):
        add_tree(edge.at(next(spots), edge.draw(0.25, 1.1) * verge_m, _RIM_M, edge.draw(0, 6)))
    for _ in range(round(8 * family.trees)):
        add_bush(edge.at(next(spots), edge.draw(0.3, 1.1) * verge_m, _RIM_M))
    for _ in range(round(10 * family.people * edge.rng.random())):
        where = edge.at(next(spots) / 2.0, edge.draw(0.4, verge_m), _RIM_M, edge.draw(0, 6.28))
        add_person(where) if edge.chance(0.8) else add_bicycle(where)
    if edge.chance(0.1):
        add_wires(edge.at(side * -10.0, 0.8 * verge_m, _RIM_M, 0.0), 100.0)
    if edge.chance(0.3):
        for _ in range(6):
            add_grass(edge.at(side * edge.draw(1.0, 14.0), edge.draw(0.1, 1.0) * verge_m, _RIM_M))


def _add_barrier(edge: Stage, family: Family, verge_m: float, side: float) -> None:
    if not edge.chance(family.barrier):
        return
    y = 0.2 if family.back == 'forest' else edge.draw(0.4, 1.0) * verge_m
    kinds = (add_guardrail,) if family.road[1] > 13.0 else (add_fence, add_hedge, add_wall)
    add = kinds[_index(edge, len(kinds))]
    x = edge.draw(-20.0, 5.0)
    while x < 70.0:
        length = edge.draw(6.0, 14.0)
        add(edge.at(side * (x + length / 2), y, _RIM_M), length)
        x += length + (0.0 if edge.chance(0.6) else edge.draw(2.0, 12.0))


def _add_back(back: Stage, family: Family, side: float) -> None:
    x = _FROM_M
    while x < _TO_M:
        if family.back == 'buildings':
            length = back.draw(7.0, 22.0)
            here = back.at(side * (x + length / 2), back.draw(0.0, 2.0))
            add_building(here, length, back.draw(6.0, 12.0), back.draw(4.0, 18.0))
            x += length + (0.0 if back.chance(0.6) else back.draw(2.0, 18.0))
        elif family.back == 'houses':
            add_house(back.at(side * (x + 6.0), back.draw(1.0, 8.0)))
            if back.chance(0.5):
                add_car(back.at(side * (x + 14.0), back.draw(0.0, 4.0), 0.0, math.pi / 2))
            x += back.draw(14.0, 30.0)
        elif family.back == 'forest':
            add_tree(back.at(side * x, back.draw(0.0, 10.0), 0.0, back.draw(0, 6), 1.4))
            x += back.draw(1.5, 5.0)
        elif family.back == 'containers':
            add_container(back.at(side * (x + 6.0), back.draw(0.0, 2.0)))
            x += back.draw(7.0, 16.0)


def _add_parked(edge: Stage, family: Family, side: float) -> None:
    """Add cars along the curb, or side by side on a parking lot."""
    abreast = family.verge[0] >= 5.0
    x = edge.draw(-15.0, -10.0)
    while x < 95.0:
        if edge.chance(family.parked):
            yaw = (math.pi / 2 if abreast else 0.0) + edge.rng.normal(0.0, 0.03)
            y = 3.0 if abreast else -1.05
            where = edge.at(
                side * x, y, _RIM_M if abreast else 0.0, yaw + math.pi * edge.chance(0.5)
            )
            add_car(where) if edge.chance(0.85) else add_vehicle(where)
        x += edge.draw(2.6, 3.0) if abreast else edge.draw(5.4, 7.5)


def _add_traffic(stage: Stage, family: Family, road_m: float) -> None:
    lanes = max(1, int(road_m / 3.4))
    for direction in (-1.0, 1.0):
        for lane in range(lanes):
            x = stage.draw(5.0, 40.0)
            while x < 120.0:
                if stage.chance(family.traffic):
                    y = -direction * (1.75 + 3.5 * lane)
                    yaw = 0.0 if direction > 0.0 else math.pi
                    where = stage.at(x, y, 0.0, yaw + stage.rng.normal(0.0, 0.03))
                    add_truck(where) if stage.chance(0.15) else add_vehicle(where)
                x += stage.draw(12.0, 45.0)
    if family.traffic and stage.chance(0.3 * family.people):
        for _ in range(int(stage.rng.integers(1, 5))):
            x, y = stage.draw(4.0, 30.0), stage.draw(-1.0, 1.0) * road_m
            add_person(stage.at(x, y, 0.0, stage.draw(0.0, 6.28)))


def _add_skyline(stage: Stage) -> None:
    """Add hills or towers far behind everything."""
    far = stage.look('leaf' if stage.chance(0.5) else 'concrete')
    for _ in range(int(stage.rng.integers(0, 7))):
        yaw, range_m = stage.draw(-math.pi, math.pi), stage.draw(140.0, 320.0)
        x, y = range_m * math.cos(yaw), range_m * math.sin(yaw)
        if stage.chance(0.5):
            radii = (stage.draw(40.0, 90.0), stage.draw(40.0, 90.0), stage.draw(10.0, 35.0))
            stage.ellipsoid((x, y, 0.0), radii, far)
        else:
            height = stage.draw(15.0, 70.0)
            add_building(stage.at(x, y, 0.0, stage.draw(0, 6)), 25.0, 20.0, height)


def _index(stage: Stage, count: int) -> int:
    """Return any number below `count`."""
    return int(stage.rng.integers(count))
