# SPDX-License-Identifier: Apache-2.0
"""Vehicles. Each stands at the origin of its stage and heads along x."""

from __future__ import annotations

import math

from metric_depth_ros.simulation.things.stage import Stage
from metric_depth_ros.simulation.world import rotation

_AXLE = rotation(roll=math.pi / 2)


def add_vehicle(stage: Stage) -> None:
    """Add a car, or sometimes another vehicle."""
    kind = stage.rng.random()
    if kind < 0.7:
        add_car(stage)
    elif kind < 0.85:
        add_van(stage)
    else:
        add_truck(stage)


def add_car(stage: Stage) -> None:
    """Add a car, 4 to 4.6 m long."""
    paint, glass = stage.look('paint'), stage.look('glass')
    rubber, lamp = stage.look('rubber'), stage.look('lamp')
    length, width = stage.draw(3.9, 4.6), stage.draw(1.7, 1.85)
    tall = stage.draw(0.0, 0.25)
    stage.box((0.0, 0.0, 0.6), (length - 0.1, width, 0.55), paint)
    stage.ellipsoid((0.0, 0.0, 0.68), (length / 2 + 0.05, width / 2 + 0.04, 0.33), paint)
    if stage.chance(0.5):  # round, or with a roof on slanted panes
        stage.ellipsoid((-0.25, 0.0, 0.95), (1.55, 0.47 * width, 0.5 + tall), glass)
        stage.ellipsoid((-0.3, 0.0, 1.33 + tall), (1.05, 0.36 * width, 0.16), paint)
    else:
        rear = stage.draw(0.5, 0.95)
        stage.box((-0.3, 0.0, 1.05 + tall / 2), (1.9, 0.9 * width, 0.5 + tall), glass)
        stage.box((-0.35, 0.0, 1.33 + tall), (1.75, 0.85 * width, 0.07), paint)
        for x, lean in ((0.8, 0.85), (-1.4, -rear)):
            pane = rotation(pitch=math.pi / 2 - lean if lean > 0.0 else -math.pi / 2 - lean)
            stage.box((x, 0.0, 1.07 + tall / 2), (0.75, 0.84 * width, 0.05), glass, pane)
    for left in (-0.36, 0.36):
        stage.box((-length / 2, left * width, 0.78), (0.08, 0.22, 0.14), lamp)
    for forward in (-0.3 * length, 0.3 * length):
        stage.cylinder((forward, 0.0, 0.32), 0.32, width + 0.02, rubber, _AXLE)


def add_van(stage: Stage) -> None:
    """Add a delivery van, or a bus when it is long."""
    paint, glass, rubber = stage.look('paint'), stage.look('glass'), stage.look('rubber')
    length = stage.draw(4.6, 6.5) if stage.chance(0.75) else stage.draw(9.0, 12.0)
    width, height = (2.0, stage.draw(1.9, 2.5)) if length < 8.0 else (2.5, stage.draw(2.8, 3.2))
    stage.box((0.0, 0.0, 0.35 + height / 2), (length, width, height), paint)
    stage.box((length / 2, 0.0, 0.35 + 0.7 * height), (0.1, 0.92 * width, 0.4 * height), glass)
    stage.box((0.1 * length, 0.0, 0.35 + 0.72 * height), (0.7 * length, width + 0.02, 0.5), glass)
    stage.ellipsoid((length / 2, 0.0, 0.8), (0.5, 0.48 * width, 0.45), paint)
    for forward in (-0.3 * length, 0.33 * length):
        stage.cylinder((forward, 0.0, 0.38), 0.38, width + 0.04, rubber, _AXLE)


def add_truck(stage: Stage) -> None:
    """Add a truck: a cabin and a load."""
    paint, glass, rubber = stage.look('paint'), stage.look('glass'), stage.look('rubber')
    load = stage.look('plastic')
    length, height = stage.draw(5.0, 10.0), stage.draw(1.0, 2.8)
    stage.box((0.0, 0.0, 0.9), (length + 2.4, 1.0, 0.3), rubber)
    stage.box((-1.0, 0.0, 1.05 + height / 2), (length, 2.45, height), load)
    cabin = length / 2 + 0.4
    stage.box((cabin, 0.0, 1.75), (1.9, 2.4, 2.3), paint)
    stage.box((cabin + 0.93, 0.0, 2.2), (0.1, 2.1, 0.9), glass)
    for forward in (-0.4 * length - 1.0, -0.25 * length - 1.0, 0.15 * length, cabin):
        stage.cylinder((forward, 0.0, 0.5), 0.5, 2.4, rubber, _AXLE)


def add_bicycle(stage: Stage) -> None:
    """Add a bicycle: two wheels and a frame of thin rods."""
    rubber, paint = stage.look('rubber'), stage.look('paint')
    for x in (-0.52, 0.52):
        stage.cylinder((x, 0.0, 0.34), 0.34, 0.03, rubber, _AXLE)
    stage.rod((-0.52, 0.0, 0.34), (-0.15, 0.0, 0.85), 0.018, paint)
    stage.rod((-0.15, 0.0, 0.75), (0.42, 0.0, 0.78), 0.02, paint)
    stage.rod((-0.08, 0.0, 0.32), (0.42, 0.0, 0.75), 0.02, paint)
    stage.rod((0.52, 0.0, 0.34), (0.4, 0.0, 1.0), 0.018, paint)
    stage.rod((0.4, -0.28, 1.02), (0.4, 0.28, 1.02), 0.014, paint)
    stage.ellipsoid((-0.18, 0.0, 0.92), (0.13, 0.07, 0.04), rubber)


def add_hood(stage: Stage) -> None:
    """Add the hood of the car that the camera rides on; the stage is the camera's place."""
    paint, wiper = stage.look('paint'), stage.look('rubber')
    down = stage.draw(0.45, 0.8)
    stage.ellipsoid((1.2, 0.0, -down - 0.1), (stage.draw(0.7, 1.3), 0.85, 0.18), paint)
    if stage.chance(0.3):
        stage.rod((0.6, -0.5, -down + 0.05), (0.75, 0.3, -down + 0.1), 0.012, wiper)
