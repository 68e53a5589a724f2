# SPDX-License-Identifier: Apache-2.0
"""Things of a hand's size. Each stands at the origin of its stage, which lies on a surface."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from metric_depth_ros.simulation.things.stage import Stage
from metric_depth_ros.simulation.world import rotation

_LYING = rotation(pitch=math.pi / 2)  # turns a cylinder's axis to the x axis


def add_object(stage: Stage) -> None:
    """Add any one of the things."""
    OBJECTS[stage.rng.integers(len(OBJECTS))](stage)


def add_cup(stage: Stage) -> None:
    """Add a cup with a handle."""
    china, radius, height = stage.look('china'), stage.draw(0.03, 0.045), stage.draw(0.07, 0.12)
    stage.cylinder((0.0, 0.0, height / 2), radius, height, china)
    for up in (0.25 * height, 0.75 * height):
        stage.rod((0.0, -radius, up), (0.0, -radius - 0.03, up), 0.006, china)
    out = -radius - 0.03
    stage.rod((0.0, out, 0.25 * height), (0.0, out, 0.75 * height), 0.006, china)


def add_bottle(stage: Stage) -> None:
    """Add a bottle, upright or lying."""
    glass, height = stage.look('glass'), stage.draw(0.16, 0.3)
    radius = 0.16 * height
    if stage.chance(0.2):
        stage = stage.posed((0.0, 0.0, radius), _LYING)
    stage.cylinder((0.0, 0.0, 0.3 * height), radius, 0.6 * height, glass)
    stage.ellipsoid((0.0, 0.0, 0.6 * height), (radius, radius, 0.14 * height), glass)
    stage.cylinder((0.0, 0.0, 0.82 * height), 0.36 * radius, 0.36 * height, glass)


def add_glass(stage: Stage) -> None:
    """Add a wine glass: foot, thin stem, bowl."""
    glass = stage.look('glass')
    stage.cylinder((0.0, 0.0, 0.003), 0.033, 0.006, glass)
    stage.cylinder((0.0, 0.0, 0.05), 0.004, 0.1, glass)
    stage.ellipsoid((0.0, 0.0, 0.145), (0.035, 0.035, 0.055), glass)


def add_plate(stage: Stage) -> None:
    """Add a plate or a bowl, sometimes with fruit."""
    china, radius = stage.look('china'), stage.draw(0.08, 0.15)
    stage.ellipsoid((0.0, 0.0, 0.01), (radius, radius, stage.draw(0.01, 0.05)), china)
    if stage.chance(0.5):
        fruit = stage.look('fruit')
        for _ in range(int(stage.rng.integers(1, 5))):
            x, y, size = stage.draw(-0.05, 0.05), stage.draw(-0.05, 0.05), stage.draw(0.02, 0.04)
            stage.ellipsoid((x, y, 0.02 + size), (size, size, 0.95 * size), fruit)


def add_can(stage: Stage) -> None:
    """Add a can."""
    stage.cylinder((0.0, 0.0, 0.06), 0.033, 0.12, stage.look('metal'))


def add_book_pile(stage: Stage) -> None:
    """Add books that lie on each other."""
    up = 0.0
    for _ in range(int(stage.rng.integers(1, 5))):
        thick = stage.draw(0.008, 0.04)
        size = (stage.draw(0.15, 0.22), stage.draw(0.2, 0.28), thick)
        turn = rotation(stage.draw(-0.4, 0.4))
        stage.box((0.0, 0.0, up + thick / 2), size, stage.look('book'), turn)
        up += thick


def add_books(stage: Stage, span: float, height: float, depth: float) -> None:
    """Add a row of books that stand, from x = 0 to `span`, of at most this height and depth."""
    x = 0.0
    while x < span:
        thick = stage.draw(0.025, 0.07)
        if stage.pieces(8) < 8:
            thick *= 2.5
        tall = stage.draw(0.6, 1.0) * height
        if stage.chance(0.85):
            center = (x + thick / 2, 0.0, tall / 2)
            stage.box(center, (thick, stage.draw(0.7, 1.0) * depth, tall), stage.look('book'))
        x += thick + 0.003


def add_pen(stage: Stage) -> None:
    """Add a pen that lies there."""
    radius = stage.draw(0.003, 0.007)
    stage.cylinder((0.0, 0.0, radius), radius, 0.15, stage.look('plastic'), _LYING)


def add_pencil_cup(stage: Stage) -> None:
    """Add a cup with pens in it."""
    stage.cylinder((0.0, 0.0, 0.05), 0.04, 0.1, stage.look('china'))
    for _ in range(int(stage.rng.integers(2, 7))):
        yaw = stage.draw(0.0, 6.28)
        end = (0.05 * math.cos(yaw), 0.05 * math.sin(yaw), stage.draw(0.16, 0.2))
        stage.rod((0.0, 0.0, 0.02), end, 0.004, stage.look('plastic'))


def add_ball(stage: Stage) -> None:
    """Add a ball."""
    radius = stage.draw(0.02, 0.12)
    material = stage.look('plastic') if stage.chance(0.5) else stage.look.free()
    stage.ellipsoid((0.0, 0.0, radius), (radius, radius, radius), material)


def add_block(stage: Stage) -> None:
    """Add a carton or a toy block."""
    x, y, z = stage.rng.uniform(0.03, 0.25, 3).tolist()
    material = stage.look('cardboard') if stage.chance(0.5) else stage.look('plastic')
    stage.box((0.0, 0.0, z / 2), (x, y, z), material)


def add_wire(stage: Stage) -> None:
    """Add a cable that meanders over the surface."""
    rubber, yaw = stage.look('rubber'), 0.0
    x = y = 0.0
    radius = stage.draw(0.002, 0.005)
    for _ in range(stage.pieces(10)):
        yaw += stage.draw(-0.8, 0.8)
        to_x, to_y = x + 0.04 * math.cos(yaw), y + 0.04 * math.sin(yaw)
        stage.rod((x, y, radius), (to_x, to_y, radius + 0.0005), radius, rubber)
        x, y = to_x, to_y


def add_laptop(stage: Stage) -> None:
    """Add an open laptop."""
    body, screen = stage.look('metal'), stage.look('screen')
    stage.box((0.0, 0.0, 0.009), (0.33, 0.23, 0.018), body)
    lean = stage.draw(0.1, 0.6)
    lid = stage.posed((0.0, 0.115, 0.018), rotation(roll=-lean))
    lid.box((0.0, 0.0, 0.11), (0.33, 0.008, 0.22), body)
    lid.box((0.0, -0.005, 0.115), (0.31, 0.002, 0.19), screen)


def add_desk_lamp(stage: Stage) -> None:
    """Add a lamp with a jointed arm."""
    metal = stage.look('metal')
    elbow, reach = (stage.draw(-0.1, 0.1), 0.0, stage.draw(0.2, 0.3)), stage.draw(0.1, 0.25)
    head = (elbow[0] + reach, 0.0, elbow[2] + 0.12)
    stage.cylinder((0.0, 0.0, 0.01), 0.08, 0.02, metal)
    stage.rod((0.0, 0.0, 0.02), elbow, 0.007, metal)
    stage.rod(elbow, head, 0.007, metal)
    stage.ellipsoid(head, (0.06, 0.06, 0.04), metal)


def add_tool(stage: Stage) -> None:
    """Add a tool that lies there: a shaft with a head."""
    shaft, head = stage.look('wood'), stage.look('metal')
    length = stage.draw(0.12, 0.35)
    stage.cylinder((0.0, 0.0, 0.013), 0.012, length, shaft, _LYING)
    stage.box((length / 2, 0.0, 0.015), (0.04, stage.draw(0.03, 0.12), 0.03), head)


def add_frame(stage: Stage) -> None:
    """Add a rack of thin rods, as for dishes or test tubes."""
    metal = stage.look('metal')
    length, width, height = stage.draw(0.15, 0.4), stage.draw(0.1, 0.25), stage.draw(0.08, 0.3)
    for y in (-width / 2, width / 2):
        for up in (0.01, height):
            stage.rod((-length / 2, y, up), (length / 2, y, up), 0.003, metal)
        for x in np.linspace(-length / 2, length / 2, stage.pieces(7)):
            stage.rod((float(x), y, 0.0), (float(x), y, height), 0.0025, metal)


def add_shapes(stage: Stage) -> None:
    """Add a few solids of any shape that lean on each other."""
    for _ in range(int(stage.rng.integers(2, 5))):
        radii = stage.rng.uniform(0.015, 0.07, 3)
        x, y = stage.rng.uniform(-0.08, 0.08, 2).tolist()
        turn = rotation(stage.draw(0, 6.28), stage.draw(-0.4, 0.4), stage.draw(-0.4, 0.4))
        rx, ry, rz = radii.tolist()
        if stage.chance(0.5):
            stage.ellipsoid((x, y, rz), (rx, ry, rz), stage.look.free(), turn)
        else:
            stage.box((x, y, rz), (2 * rx, 2 * ry, 2 * rz), stage.look.free(), turn)


OBJECTS: tuple[Callable[[Stage], None], ...] = (
    add_cup, add_bottle, add_glass, add_plate, add_can, add_book_pile, add_pen, add_pencil_cup,
    add_ball, add_block, add_block, add_wire, add_laptop, add_desk_lamp, add_tool, add_frame,
    add_shapes,
)  # fmt: skip
