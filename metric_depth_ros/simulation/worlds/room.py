# SPDX-License-Identifier: Apache-2.0
"""Rooms and corridors: x from 0 to the length, y to both sides of 0, the floor at z = 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.simulation.lights import random_daylight, random_lamp
from metric_depth_ros.simulation.things.buildings import add_building
from metric_depth_ros.simulation.things.furniture import (
    AGAINST_WALLS,
    ANYWHERE,
    add_curtain,
    add_door,
    add_picture,
    add_shelf,
)
from metric_depth_ros.simulation.things.objects import add_object
from metric_depth_ros.simulation.things.people import add_person
from metric_depth_ros.simulation.things.stage import Stage
from metric_depth_ros.simulation.things.vegetation import add_potted_plant, add_tree
from metric_depth_ros.simulation.world import Vector, rotation
from metric_depth_ros.simulation.worlds.cameras import Pose, random_tilt
from metric_depth_ros.simulation.worlds.canvas import Canvas, Composition

_THICK_M = 0.12
_DOOR_M = (0.9, 2.04)  # width and height
_CLEAR_M = 0.6  # nothing stands nearer to the camera


class Family(NamedTuple):
    """Rooms of one family.

    Parameters
    ----------
    length, width, height
        Meters, from and to.
    along_walls
        Share of the walls that furniture stands at.
    inside
        Pieces of furniture away from the walls, at most, for 20 square meters.
    attic
        The ceiling slopes down to the sides.
    racks
        Rows of racks fill the room.
    """

    length: tuple[float, float]
    width: tuple[float, float]
    height: tuple[float, float]
    along_walls: float
    inside: float
    attic: bool = False
    racks: bool = False


FAMILIES = {
    'living': Family((3.0, 8.0), (2.6, 6.0), (2.3, 3.0), 0.75, 5.0),
    'bare': Family((2.5, 9.0), (2.5, 8.0), (2.3, 3.5), 0.15, 0.8),
    'corridor': Family((8.0, 40.0), (1.3, 2.8), (2.2, 3.2), 0.15, 0.3),
    'hall': Family((9.0, 30.0), (7.0, 20.0), (3.0, 7.0), 0.5, 2.5),
    'cellar': Family((3.0, 12.0), (2.5, 6.0), (2.0, 2.6), 0.9, 7.0),
}
UNSEEN_FAMILIES = {
    'attic': Family((4.0, 10.0), (3.5, 6.0), (2.4, 3.4), 0.6, 4.0, attic=True),
    'warehouse': Family((10.0, 30.0), (6.0, 14.0), (4.0, 8.0), 0.2, 1.0, racks=True),
}


class Opening(NamedTuple):
    """A hole in a wall: its middle along the wall, its width, its lower and upper edge."""

    x: float
    width: float
    low: float
    high: float


class Room(NamedTuple):
    """The inner size of a room in meters."""

    length: float
    width: float
    height: float


class Free(NamedTuple):
    """Where nothing stands.

    Parameters
    ----------
    xy
        (N, 2) places on the floor.
    clear_m
        (N,) how far from each.
    """

    xy: NDArray[np.float64]
    clear_m: NDArray[np.float64]

    def allows(self, place: Stage, reach_m: float = 0.0) -> bool:
        """Tell whether something that reaches so far around its middle may stand there."""
        return bool((self._away_m(place) > self.clear_m + reach_m).all())

    def is_beyond(self, place: Stage, reach_m: float) -> bool:
        """Tell whether something that reaches so far around a place touches none of them."""
        return bool((self._away_m(place) > reach_m).all())

    def _away_m(self, place: Stage) -> NDArray[np.float64]:
        away_m: NDArray[np.float64] = np.hypot(*(self.xy - place.origin[:2]).T)
        return away_m


def random_room(rng: np.random.Generator, family: Family) -> Room:
    """Return the size of a room."""
    length, width = np.exp(rng.uniform(*np.log((family.length, family.width)).T)).tolist()
    return Room(length, width, float(rng.uniform(*family.height)))


def compose(canvas: Canvas) -> Composition:
    """Compose a room as something held by hand or on wheels sees it."""
    rng = canvas.rng
    family = canvas.family(FAMILIES, UNSEEN_FAMILIES)
    size = random_room(rng, family)
    x = size.length * (rng.uniform(0.03, 0.5) if rng.random() < 0.6 else rng.uniform(0.1, 0.9))
    y = size.width * rng.uniform(-0.4, 0.4)
    high = min(1.9, size.height - 0.3)
    eye = (float(x), float(y), float(rng.uniform(0.25 if rng.random() < 0.25 else 0.9, high)))
    # Look into the room more often than at the nearest wall.
    spread = 0.25 if size.length > 3.0 * size.width else 1.0
    yaw = math.atan2(-0.3 * y, 0.6 * size.length - x) + rng.normal(0.0, spread)
    pitch, roll = random_tilt(rng, 12.0, 4.0)
    add_room(canvas.stage(eye), family, size, around([eye], [_CLEAR_M]))
    low: Vector = (0.1 * size.length, -0.4 * size.width, 0.6 * size.height)
    top: Vector = (0.9 * size.length, 0.4 * size.width, 0.93 * size.height)
    light = random_lamp(rng, low, top) if rng.random() < 0.85 else random_daylight(rng)
    return Pose(eye, float(yaw), pitch + 0.1, roll), light


def around(places: Sequence[Vector], clear_m: Sequence[float]) -> Free:
    """Keep things away from places."""
    return Free(np.array(places)[:, :2], np.array(clear_m))


def add_room(stage: Stage, family: Family, room: Room, free: Free) -> None:
    """Add a room and what is in it."""
    floors = ('parquet', 'tiles', 'concrete', 'rug')
    stage.build.ground(stage.look(floors[stage.rng.integers(len(floors))]))
    _add_ceiling(stage, family, room)
    look = stage.look('plaster')
    other = stage.look(('plaster', 'wallpaper', 'brick', 'tiles')[stage.rng.integers(4)])
    for place, length in _walls(stage, room):
        material = other if stage.chance(0.3) else look
        openings = _random_openings(place, length, room.height)
        add_partition(place, length, room.height, openings, material)
        for opening in openings:
            _add_beyond(place, opening, material, free)
        _furnish_wall(place, family, length, room.height, openings, free)
    _furnish_inside(stage, family, room, free)


def add_partition(
    stage: Stage, length: float, height: float, openings: Sequence[Opening], material: int
) -> None:
    """Add a wall along x, its inner face at y = 0, with openings (left to right)."""

    def part(left: float, right: float, low: float, high: float) -> None:
        if right - left > 1e-3 and high - low > 1e-3:
            center = ((left + right) / 2, _THICK_M / 2, (low + high) / 2)
            stage.box(center, (right - left, _THICK_M, high - low), material)

    x = -length / 2
    for opening in openings:
        left, right = opening.x - opening.width / 2, opening.x + opening.width / 2
        part(x, left, 0.0, height)
        part(left, right, 0.0, opening.low)
        part(left, right, opening.high, height)
        x = right
    part(x, length / 2, 0.0, height)


def _walls(stage: Stage, room: Room) -> list[tuple[Stage, float]]:
    """Return the stages of the four walls, their backs outward, and the walls' lengths."""
    middle, half = room.length / 2, room.width / 2
    return [
        (stage.at(room.length, 0.0, 0.0, -math.pi / 2), room.width),
        (stage.at(0.0, 0.0, 0.0, math.pi / 2), room.width),
        (stage.at(middle, half), room.length),
        (stage.at(middle, -half, 0.0, math.pi), room.length),
    ]


def _add_ceiling(stage: Stage, family: Family, room: Room) -> None:
    paint = stage.look('plaster')
    middle, height = room.length / 2, room.height
    if family.attic:
        slope = stage.draw(0.5, 0.9)
        reach = room.width / 2 / math.cos(slope) + 0.5
        for side in (-1.0, 1.0):
            center = (middle, side * room.width / 4, height - room.width / 4 * math.tan(slope))
            turn = rotation(roll=-side * slope)
            stage.box(center, (room.length + 0.4, reach, 0.1), paint, turn)
        return
    size = (room.length + 12.0, room.width + 12.0, 0.1)
    stage.box((middle, 0.0, height + 0.05), size, paint)
    lamp = stage.look('paper')
    for x in np.arange(stage.draw(0.5, 2.0), room.length, stage.draw(1.8, 4.0)):
        if stage.chance(0.5):
            stage.box((float(x), 0.0, height - 0.04), (0.3, 1.1, 0.07), lamp)
    if stage.chance(0.25):
        beam = stage.look('wood' if stage.chance(0.5) else 'metal')
        for y in stage.rng.uniform(-0.5, 0.5, int(stage.rng.integers(1, 6))) * room.width:
            if stage.chance(0.5):
                stage.box((middle, float(y), height - 0.1), (room.length, 0.14, 0.2), beam)
            else:
                turn = rotation(pitch=math.pi / 2)
                stage.cylinder((middle, float(y), height - 0.15), 0.06, room.length, beam, turn)


def _random_openings(wall: Stage, length: float, height: float) -> list[Opening]:
    """Return doors and windows, left to right, at most one for every 2.2 m."""
    openings = []
    for i in range(int(length / 2.2)):
        if not wall.chance(0.3):
            continue
        x = -length / 2 + (i + 0.5) * 2.2 + wall.draw(-0.3, 0.3)
        if wall.chance(0.5):
            openings.append(Opening(x, _DOOR_M[0], 0.0, min(_DOOR_M[1], height - 0.1)))
        else:
            high = min(wall.draw(1.7, 2.4), height - 0.15)
            openings.append(Opening(x, wall.draw(0.6, 1.5), wall.draw(0.7, 1.1), high))
    return openings


def _add_beyond(wall: Stage, opening: Opening, material: int, free: Free) -> None:
    """Close an opening, or add what is seen through it."""
    frame = wall.look('wood')
    for x in (opening.x - opening.width / 2, opening.x + opening.width / 2):
        high = opening.high - opening.low
        center = (x, 0.05, opening.low + high / 2)
        wall.box(center, (0.06, _THICK_M + 0.06, high), frame)
    is_door = opening.low == 0.0
    if is_door and wall.chance(0.85):
        hinge = wall.at(opening.x - opening.width / 2 + 0.03, 0.02)
        ajar = 0.0 if wall.chance(0.4) else wall.draw(0.2, 1.9)
        if not free.is_beyond(hinge, opening.width):
            ajar = 0.0
        add_door(hinge, ajar)
        if ajar == 0.0:
            return
    if not is_door and wall.chance(0.35):
        center = (opening.x, 0.06, (opening.low + opening.high) / 2)
        size = (opening.width, 0.02, opening.high - opening.low)
        wall.box(center, size, wall.look('glass' if wall.chance(0.5) else 'paper'))
        return
    if not is_door and wall.chance(0.4):
        add_curtain(wall.at(opening.x - 0.5, -0.1, 0.1))
    if is_door or wall.chance(0.3):
        _add_next_room(wall.at(opening.x, _THICK_M), material)
        return
    away = wall.draw(3.0, 40.0)
    if wall.chance(0.5):
        add_building(wall.at(opening.x, away), 15.0, 8.0, wall.draw(5.0, 20.0))
    for _ in range(2):
        add_tree(wall.at(opening.x + wall.draw(-3.0, 3.0), wall.draw(3.0, 12.0)))


def _add_next_room(door: Stage, material: int) -> None:
    deep, wide = door.draw(1.2, 7.0), door.draw(1.5, 4.0)
    door.box((0.0, deep, 1.5), (wide, 0.1, 3.0), material)
    for x in (-wide / 2, wide / 2):
        door.box((x, deep / 2, 1.5), (0.1, deep, 3.0), material)
    if deep > 2.0 and door.chance(0.7):
        add = AGAINST_WALLS[door.rng.integers(len(AGAINST_WALLS))]
        add(door.at(door.draw(-0.3, 0.3), deep - 0.5))


def _furnish_wall(
    wall: Stage,
    family: Family,
    length: float,
    height: float,
    openings: Sequence[Opening],
    free: Free,
) -> None:
    x = -length / 2 + 0.5
    while x < length / 2 - 0.4:
        blocked = any(abs(x - o.x) < o.width / 2 + 0.5 and o.low < 0.9 for o in openings)
        here = wall.at(x + 0.4, -wall.draw(0.25, 0.45), 0.0, wall.rng.normal(0.0, 0.03))
        if not blocked and wall.chance(family.along_walls) and free.allows(here, 0.7):
            AGAINST_WALLS[wall.rng.integers(len(AGAINST_WALLS))](here)
        if not blocked and wall.chance(0.35):
            add_picture(wall.at(x, 0.0, min(wall.draw(1.4, 1.9), height - 0.6)))
        x += wall.draw(0.9, 2.2)


def _furnish_inside(stage: Stage, family: Family, room: Room, free: Free) -> None:
    def anywhere(margin_m: float) -> Stage:
        x = stage.draw(margin_m, room.length - margin_m)
        y = stage.draw(-0.5, 0.5) * (room.width - 2.0 * margin_m)
        return stage.at(x, y, 0.0, stage.draw(0.0, 2.0 * math.pi))

    if family.racks:
        for x in np.arange(1.5, room.length, 3.5):
            for y in np.arange(-room.width / 2 + 1.0, room.width / 2, stage.draw(1.3, 2.0)):
                here = stage.at(float(x), float(y), 0.0, stage.rng.choice((0.0, math.pi)), 1.6)
                if free.allows(here, 1.5):
                    add_shelf(here)
    floor_m2 = min(room.length, 14.0) * room.width
    for _ in range(round(family.inside * floor_m2 / 20.0 * stage.rng.random())):
        here = anywhere(0.5)
        if free.allows(here, 0.6):
            ANYWHERE[stage.rng.integers(len(ANYWHERE))](here)
    for _ in range(round(family.inside * stage.rng.random() * 1.5)):
        here = anywhere(0.2)
        if free.allows(here):
            add_object(here)
    for add, chance in ((add_person, 0.2), (add_potted_plant, 0.35)):
        here = anywhere(0.4)
        if stage.chance(chance) and free.allows(here, 0.3):
            add(here)
    if stage.chance(0.4):
        here = anywhere(0.8)
        size = (stage.draw(1.2, 2.6), stage.draw(0.9, 1.8), 0.012)
        here.box((0.0, 0.0, 0.006), size, stage.look('rug'))
