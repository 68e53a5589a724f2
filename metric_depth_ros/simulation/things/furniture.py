# SPDX-License-Identifier: Apache-2.0
"""Furniture. Each stands at the origin of its stage, its back toward +y, its front toward -y."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from metric_depth_ros.simulation.things.objects import add_books, add_object
from metric_depth_ros.simulation.things.stage import Stage
from metric_depth_ros.simulation.world import rotation


def add_chair(stage: Stage) -> None:
    """Add a chair with four legs and slats."""
    wood = stage.look('wood')
    seat = stage.look('cloth') if stage.chance(0.3) else wood
    stage.box((0.0, 0.0, 0.45), (0.42, 0.42, 0.035), seat)
    for x in (-0.18, 0.18):
        for y in (-0.18, 0.18):
            stage.cylinder((x, y, 0.22), 0.016, 0.44, wood)
    if stage.chance(0.5):
        for x in (-0.18, 0.0, 0.18):
            stage.cylinder((x, 0.19, 0.68), 0.012, 0.46, wood)
        stage.box((0.0, 0.19, 0.9), (0.42, 0.025, 0.1), wood)
    else:
        stage.box((0.0, 0.2, 0.7), (0.4, 0.03, 0.5), seat)


def add_office_chair(stage: Stage) -> None:
    """Add a chair on a star of castors."""
    cloth, metal = stage.look('cloth'), stage.look('metal')
    stage.ellipsoid((0.0, 0.0, 0.48), (0.25, 0.25, 0.06), cloth)
    stage.ellipsoid((0.0, 0.24, 0.85), (0.22, 0.05, 0.3), cloth)
    stage.cylinder((0.0, 0.0, 0.25), 0.03, 0.4, metal)
    stage.rod((0.0, 0.1, 0.45), (0.0, 0.26, 0.7), 0.02, metal)
    for i in range(5):
        yaw = 2.0 * math.pi * i / 5
        end = (0.3 * math.cos(yaw), 0.3 * math.sin(yaw), 0.05)
        stage.rod((0.0, 0.0, 0.1), end, 0.018, metal)


def add_table(stage: Stage) -> None:
    """Add a table, round or with corners, with things on it and chairs around it."""
    height = stage.draw(0.4, 0.78)
    length, width = stage.draw(0.7, 1.8), stage.draw(0.6, 1.0)
    add_table_top(stage, length, width, height, round_top=stage.chance(0.3))
    for _ in range(int(stage.rng.integers(0, 8))):
        x, y = stage.draw(-0.4, 0.4) * length, stage.draw(-0.4, 0.4) * width
        add_object(stage.at(x, y, height, stage.draw(0.0, 6.28)))
    if height > 0.6:
        for _ in range(int(stage.rng.integers(0, 5))):
            yaw = stage.draw(0.0, 6.28)
            x, y = 0.6 * length * math.sin(yaw), -0.75 * width * math.cos(yaw)
            add_chair(stage.at(x, y, 0.0, yaw + math.pi + stage.draw(-0.3, 0.3)))


def add_table_top(
    stage: Stage, length: float, width: float, height: float, round_top: bool = False
) -> None:
    """Add a bare table: a top and what carries it."""
    wood = stage.look('wood')
    if round_top:
        stage.cylinder((0.0, 0.0, height - 0.02), width / 2, 0.04, wood)
        stage.cylinder((0.0, 0.0, height / 2), 0.05, height - 0.04, wood)
        stage.cylinder((0.0, 0.0, 0.02), 0.25 * length, 0.04, wood)
        return
    stage.box((0.0, 0.0, height - 0.02), (length, width, 0.04), wood)
    for x in (-length / 2 + 0.06, length / 2 - 0.06):
        for y in (-width / 2 + 0.06, width / 2 - 0.06):
            stage.cylinder((x, y, height / 2 - 0.02), 0.025, height - 0.04, wood)


def add_desk(stage: Stage) -> None:
    """Add a desk with screens, a keyboard and a chair."""
    length = stage.draw(1.1, 1.8)
    add_table_top(stage, length, 0.7, 0.74)
    screen, plastic = stage.look('screen'), stage.look('rubber')
    for x in np.linspace(-0.3, 0.3, int(stage.rng.integers(1, 3))) * length:
        here = stage.at(float(x), 0.15, 0.74, stage.draw(-0.3, 0.3))
        here.box((0.0, 0.0, 0.32), (0.55, 0.03, 0.33), screen)
        here.cylinder((0.0, 0.03, 0.1), 0.02, 0.2, plastic)
        here.box((0.0, 0.02, 0.01), (0.22, 0.16, 0.015), plastic)
    stage.box((0.0, -0.18, 0.755), (0.44, 0.14, 0.02), plastic)
    for _ in range(int(stage.rng.integers(1, 6))):
        x, y = stage.draw(-0.45, 0.45) * length, stage.draw(-0.28, 0.28)
        add_object(stage.at(x, y, 0.74, stage.draw(0.0, 6.28)))
    add_office_chair(stage.at(stage.draw(-0.2, 0.2), -0.6, 0.0, stage.draw(2.4, 3.9)))


def add_sofa(stage: Stage) -> None:
    """Add a sofa, or an armchair, with pillows."""
    cloth, pillow = stage.look('cloth'), stage.look('cloth')
    length = stage.draw(0.7, 2.1)
    stage.box((0.0, 0.0, 0.22), (length, 0.85, 0.44), cloth)
    stage.box((0.0, 0.34, 0.6), (length, 0.2, 0.55), cloth)
    for x in (-length / 2 - 0.08, length / 2 + 0.08):
        stage.box((x, 0.0, 0.34), (0.2, 0.9, 0.68), cloth)
    for _ in range(int(stage.rng.integers(0, 4))):
        x = stage.draw(-0.4, 0.4) * length
        turn = rotation(stage.draw(-0.4, 0.4), roll=-0.35)
        stage.ellipsoid((x, 0.14, 0.62), (0.24, 0.11, 0.22), pillow, turn)


def add_bed(stage: Stage) -> None:
    """Add a bed, its head toward +y."""
    wood, cloth, white = stage.look('wood'), stage.look('cloth'), stage.look('paper')
    width = stage.draw(0.9, 1.8)
    stage.box((0.0, -0.55, 0.25), (width, 2.0, 0.3), wood)
    stage.box((0.0, -0.6, 0.45), (width, 1.95, 0.16), cloth)
    stage.box((0.0, 0.43, 0.5), (width + 0.1, 0.06, 1.0), wood)
    for x in (-0.22, 0.22):
        stage.ellipsoid((x * width, 0.2, 0.57), (0.2 * width, 0.2, 0.08), white)
    stage.ellipsoid((0.1, -0.7, 0.52), (0.45 * width, 0.7, 0.09), cloth, rotation(0.3))


def add_shelf(stage: Stage) -> None:
    """Add a shelf with boards, books and things."""
    wood = stage.look('wood')
    width, height, depth = stage.draw(0.6, 2.4), stage.draw(0.9, 2.2), stage.draw(0.22, 0.4)
    levels = max(2, round(height / stage.draw(0.3, 0.45)))
    step = (height - 0.08) / levels
    for i in range(levels + 1):
        stage.box((0.0, 0.0, 0.08 + i * step), (width, depth, 0.025), wood)
    for x in np.linspace(-width / 2, width / 2, 2 + (width > 1.4)):
        stage.box((float(x), 0.0, height / 2), (0.025, depth, height), wood)
    if stage.chance(0.6):
        stage.box((0.0, depth / 2, height / 2), (width, 0.015, height), wood)
    for i in range(levels):
        up = 0.0925 + i * step
        if stage.chance(0.6):
            span = stage.draw(0.3, 0.9) * width
            start = -width / 2 + 0.03
            add_books(stage.at(start, 0.0, up), span, 0.85 * step, 0.8 * depth)
        elif stage.chance(0.7):
            add_object(stage.at(stage.draw(-0.35, 0.35) * width, 0.0, up))


def add_cabinet(stage: Stage) -> None:
    """Add a cabinet, a wardrobe or a refrigerator, with handles."""
    body, handle = stage.look('wood'), stage.look('metal')
    width, depth, height = stage.draw(0.5, 1.6), stage.draw(0.35, 0.65), stage.draw(0.6, 2.2)
    stage.box((0.0, 0.0, height / 2), (width, depth, height), body)
    doors = max(1, round(width / 0.5))
    for i in range(doors):
        x = (i + 0.5) * width / doors - width / 2
        stage.box((x, -depth / 2, height / 2), (0.94 * width / doors, 0.02, 0.94 * height), body)
        stage.box((x + 0.15, -depth / 2 - 0.03, 0.55 * height), (0.02, 0.04, 0.15), handle)
    if height < 1.4:
        for _ in range(int(stage.rng.integers(0, 5))):
            add_object(stage.at(stage.draw(-0.4, 0.4) * width, 0.0, height, stage.draw(0, 6.28)))


def add_counter(stage: Stage) -> None:
    """Add a kitchen counter with drawers, things on it, and cupboards above."""
    front, top, handle = stage.look('paint'), stage.look('rock'), stage.look('metal')
    length = stage.draw(1.2, 3.2)
    stage.box((0.0, 0.0, 0.43), (length, 0.58, 0.86), front)
    stage.box((0.0, -0.02, 0.88), (length + 0.04, 0.64, 0.04), top)
    for i in range(round(length / 0.6)):
        x = (i + 0.5) * 0.6 - length / 2
        stage.box((x, -0.31, 0.7), (0.3, 0.03, 0.015), handle)
    for _ in range(int(stage.rng.integers(2, 8))):
        x = stage.draw(-0.45, 0.45) * length
        add_object(stage.at(x, stage.draw(-0.2, 0.2), 0.9, stage.draw(0.0, 6.28)))
    if stage.chance(0.7):
        stage.box((stage.draw(-0.2, 0.2), 0.12, 1.8), (0.7 * length, 0.35, 0.7), front)


def add_floor_lamp(stage: Stage) -> None:
    """Add a lamp on a thin pole."""
    metal, shade = stage.look('metal'), stage.look('lamp')
    height = stage.draw(1.3, 1.8)
    stage.cylinder((0.0, 0.0, height / 2), 0.013, height, metal)
    stage.cylinder((0.0, 0.0, 0.015), 0.16, 0.03, metal)
    stage.cylinder((0.0, 0.0, height), stage.draw(0.12, 0.22), stage.draw(0.15, 0.35), shade)


def add_ladder(stage: Stage) -> None:
    """Add a ladder that leans toward +y."""
    wood, height = stage.look('wood'), stage.draw(1.6, 2.4)
    for x in (-0.2, 0.2):
        stage.rod((x, -0.35, 0.0), (x, 0.1, height), 0.02, wood)
    for up in np.arange(0.3, height, 0.3):
        y = -0.35 + 0.45 * float(up) / height
        stage.rod((-0.2, y, float(up)), (0.2, y, float(up)), 0.014, wood)


def add_boxes(stage: Stage) -> None:
    """Add a pile of boxes."""
    up = 0.0
    for _ in range(int(stage.rng.integers(1, 4))):
        size = (stage.draw(0.25, 0.6), stage.draw(0.25, 0.6), stage.draw(0.15, 0.45))
        turn = rotation(stage.draw(-0.3, 0.3))
        material = stage.look('cardboard')
        stage.box((stage.draw(-0.05, 0.05), 0.0, up + size[2] / 2), size, material, turn)
        up += size[2]


def add_bag(stage: Stage) -> None:
    """Add a bag or a backpack on the floor."""
    cloth = stage.look('cloth')
    size = stage.draw(0.7, 1.3)
    stage.ellipsoid((0.0, 0.0, 0.2 * size), (0.18 * size, 0.13 * size, 0.22 * size), cloth)
    stage.ellipsoid((0.0, -0.1 * size, 0.13 * size), (0.13 * size, 0.08, 0.11 * size), cloth)
    stage.rod((-0.08, 0.0, 0.38 * size), (0.08, 0.0, 0.4 * size), 0.012, cloth)


def add_picture(stage: Stage) -> None:
    """Add a picture, a board or a mirror that hangs on the wall at y = 0; z is its middle."""
    frame, art = stage.look('wood'), stage.look.free()
    width, height = stage.draw(0.3, 1.6), stage.draw(0.3, 1.0)
    stage.box((0.0, -0.015, 0.0), (width, 0.03, height), frame)
    stage.box((0.0, -0.03, 0.0), (0.9 * width, 0.02, 0.88 * height), art)


def add_door(stage: Stage, angle: float = 0.0) -> None:
    """Add a door leaf that hangs at the origin and opens toward -y, closed at angle 0."""
    wood, metal = stage.look('wood'), stage.look('metal')
    leaf = stage.at(0.0, 0.0, 0.0, -angle)
    leaf.box((0.42, 0.0, 1.0), (0.84, 0.04, 2.0), wood)
    leaf.ellipsoid((0.76, -0.05, 1.02), (0.05, 0.03, 0.015), metal)


def add_radiator(stage: Stage) -> None:
    """Add a radiator with ribs."""
    metal, length = stage.look('paper'), stage.draw(0.6, 1.4)
    for x in np.arange(-length / 2, length / 2, 0.08):
        stage.box((float(x), 0.0, 0.4), (0.05, 0.09, 0.55), metal)


def add_curtain(stage: Stage) -> None:
    """Add a curtain with folds on a rod."""
    cloth, metal = stage.look('cloth'), stage.look('metal')
    width, height = stage.draw(0.6, 1.6), stage.draw(1.4, 2.2)
    stage.rod((-0.7 * width, 0.0, height + 0.1), (0.7 * width, 0.0, height + 0.1), 0.012, metal)
    for x in np.arange(-width / 2, width / 2, 0.13):
        stage.ellipsoid((float(x), 0.0, height / 2), (0.075, 0.05, 0.75 * height), cloth)


AGAINST_WALLS: tuple[Callable[[Stage], None], ...] = (
    add_shelf, add_shelf, add_cabinet, add_cabinet, add_sofa, add_bed, add_desk, add_desk,
    add_counter, add_radiator, add_boxes, add_ladder, add_floor_lamp, add_chair,
)  # fmt: skip
ANYWHERE: tuple[Callable[[Stage], None], ...] = (
    add_chair, add_chair, add_office_chair, add_table, add_table, add_boxes, add_bag, add_sofa,
    add_floor_lamp,
)  # fmt: skip
