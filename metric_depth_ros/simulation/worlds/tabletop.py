# SPDX-License-Identifier: Apache-2.0
"""Table-tops: a surface around x = y = 0 with things on it, and what stands behind."""

from __future__ import annotations

import math
from typing import NamedTuple

from metric_depth_ros.simulation.lights import random_lamp
from metric_depth_ros.simulation.things.furniture import AGAINST_WALLS, ANYWHERE, add_table_top
from metric_depth_ros.simulation.things.objects import add_object
from metric_depth_ros.simulation.things.stage import Stage
from metric_depth_ros.simulation.worlds.cameras import Pose
from metric_depth_ros.simulation.worlds.canvas import Canvas, Composition


class Family(NamedTuple):
    """Tables of one family.

    Parameters
    ----------
    length, width, height
        Meters, from and to.
    things
        Number of things on it, from and to.
    wall
        Chance of a wall on each of the far sides.
    tray
        The surface is the bottom of a bin with walls around it.
    """

    length: tuple[float, float]
    width: tuple[float, float]
    height: tuple[float, float]
    things: tuple[int, int]
    wall: float
    tray: bool = False


FAMILIES = {
    'table': Family((0.8, 2.0), (0.7, 1.6), (0.4, 1.0), (4, 22), 0.5),
    'bench': Family((1.5, 3.0), (0.6, 0.9), (0.7, 1.1), (8, 30), 0.9),
    'floor': Family((4.0, 8.0), (4.0, 8.0), (0.02, 0.05), (4, 25), 0.6),
}
UNSEEN_FAMILIES = {
    'bin': Family((0.4, 0.8), (0.3, 0.6), (0.3, 0.8), (8, 30), 0.3, tray=True),
    'pedestal': Family((0.3, 0.6), (0.3, 0.6), (0.6, 1.2), (1, 5), 0.3),
}


def compose(canvas: Canvas) -> Composition:
    """Compose a table as a robot's arm or a hand-held camera sees it."""
    rng = canvas.rng
    family = canvas.family(FAMILIES, UNSEEN_FAMILIES)
    height = float(rng.uniform(*family.height))
    range_m = canvas.between(0.3, 1.3)
    pitch, yaw = math.radians(rng.uniform(12.0, 80.0)), float(rng.uniform(-math.pi, math.pi))
    target = (*rng.normal(0.0, 0.15, 2), height + 0.05)
    ahead = (math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), -math.sin(pitch))
    x, y, z = (t - range_m * a for t, a in zip(target, ahead, strict=True))
    eye = (float(x), float(y), float(z))
    add_tabletop(canvas.stage(eye), family, height)
    light = random_lamp(rng, (-1.5, -1.5, height + 0.6), (1.5, 1.5, height + 2.0))
    roll = math.radians(rng.normal(0.0, 6.0))
    return Pose(eye, yaw, pitch + rng.normal(0.0, 0.05), roll), light


def add_tabletop(stage: Stage, family: Family, height: float) -> tuple[float, float]:
    """Add a table of that height and what surrounds it; return its length and width."""
    rng = stage.rng
    length, width = stage.draw(*family.length), stage.draw(*family.width)
    stage.build.ground(stage.look(('tiles', 'parquet', 'concrete', 'rug')[rng.integers(4)]))
    add_table_top(stage, length, width, height, round_top=stage.chance(0.2) and not family.tray)
    if family.tray:
        _add_rim(stage, length, width, height)
    count = int(rng.integers(*family.things))
    spread = 0.47 if stage.chance(0.7) else 0.2  # strewn about, or in a heap
    for _ in range(count):
        x, y = rng.uniform(-spread, spread, 2) * (length, width)
        scale = stage.draw(0.7, 1.3)
        add_object(stage.at(float(x), float(y), height, stage.draw(0.0, 6.28), scale))
    _add_background(stage, family, max(length, width))
    return length, width


def _add_rim(stage: Stage, length: float, width: float, height: float) -> None:
    plastic, rim = stage.look('plastic'), stage.draw(0.08, 0.25)
    for side in (-0.5, 0.5):
        stage.box((side * length, 0.0, height + rim / 2), (0.012, width, rim), plastic)
        stage.box((0.0, side * width, height + rim / 2), (length, 0.012, rim), plastic)


def _add_background(stage: Stage, family: Family, reach_m: float) -> None:
    look = stage.look(('plaster', 'wallpaper', 'brick', 'wood')[stage.rng.integers(4)])
    for i in range(4):
        yaw = i * math.pi / 2 + stage.rng.normal(0.0, 0.05)
        away = 0.5 * reach_m + float(stage.rng.choice((0.02, stage.draw(0.1, 3.5))))
        here = stage.at(-away * math.sin(yaw), away * math.cos(yaw), 0.0, yaw)
        # Never between the table and a camera that looks at it from outside.
        behind = math.dist(here.origin[:2], stage.eye[:2])
        if behind < away + 0.3 * reach_m:
            continue
        if stage.chance(family.wall):
            here.box((0.0, 0.05, 1.5), (8.0, 0.1, 3.0), look)
        if away > 0.5 * reach_m + 0.8 and stage.chance(0.7):
            pieces = AGAINST_WALLS if stage.chance(0.6) else ANYWHERE
            pieces[stage.rng.integers(len(pieces))](here.at(stage.draw(-0.5, 0.5), -0.3))
