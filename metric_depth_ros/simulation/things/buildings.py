# SPDX-License-Identifier: Apache-2.0
"""Buildings, walls and fences. Fronts run along x and face -y of their stage."""

from __future__ import annotations

import math

import numpy as np

from metric_depth_ros.simulation.things.stage import Stage
from metric_depth_ros.simulation.world import rotation


def add_building(stage: Stage, length: float, depth: float, height: float) -> None:
    """Add a building with its front on the x axis: plinth, doors, balconies, a roof."""
    wall = stage.look('facade')
    stage.box((0.0, depth / 2, height / 2), (length, depth, height), wall)
    if stage.chance(0.6):
        plinth = stage.look('brick')
        stage.box((0.0, depth / 2, 0.5), (length + 0.1, depth + 0.1, 1.0), plinth)
    if stage.chance(0.5):
        door = stage.look('wood')
        stage.box((stage.draw(-0.3, 0.3) * length, 0.0, 1.1), (1.2, 0.24, 2.2), door)
    if stage.chance(0.35):
        _add_balconies(stage, length, height)
    if stage.chance(0.3):
        cornice = stage.look('concrete')
        stage.box((0.0, depth / 2, height), (length + 0.8, depth + 0.8, 0.3), cornice)


def add_house(stage: Stage) -> None:
    """Add a house with a gable roof, its front on the x axis."""
    wall, roof = stage.look('plaster'), stage.look('brick')
    pane = stage.look('glass')
    length, depth, eaves = stage.draw(7, 13), stage.draw(6, 9), stage.draw(2.6, 5.5)
    stage.box((0.0, depth / 2, eaves / 2), (length, depth, eaves), wall)
    slope = stage.draw(0.5, 0.9)
    reach = 0.5 * depth / math.cos(slope) + 0.3
    for side in (-1.0, 1.0):
        y = depth / 2 + side * 0.25 * depth
        center = (0.0, y, eaves + 0.25 * depth * math.tan(slope))
        turn = rotation(roll=-side * slope)
        stage.box(center, (length + 0.6, reach, 0.2), roof, turn)
    for x in np.arange(-0.38, 0.4, 0.25) * length:
        stage.box((float(x), 0.0, 1.5), (1.1, 0.12, 1.2), pane)


def add_gate(stage: Stage, height: float, width: float) -> None:
    """Add a gantry or a footbridge across: two posts and a beam along x."""
    metal = stage.look('metal')
    for x in (-width / 2, width / 2):
        stage.cylinder((x, 0.0, height / 2), 0.16, height, metal)
    stage.box((0.0, 0.0, height), (width, stage.draw(0.3, 4.0), stage.draw(0.4, 1.2)), metal)
    if stage.chance(0.6):
        board = stage.look('paint')
        stage.box((stage.draw(-0.2, 0.2) * width, -0.3, height), (3.4, 0.15, 2.0), board)


def add_wall(stage: Stage, length: float) -> None:
    """Add a free-standing wall along x."""
    height = stage.draw(0.6, 2.4)
    stage.box((0.0, 0.0, height / 2), (length, 0.25, height), stage.look('brick'))


def add_fence(stage: Stage, length: float) -> None:
    """Add a fence along x: posts, rails, and pickets where it is near."""
    wood = stage.look('wood') if stage.chance(0.5) else stage.look('metal')
    height = stage.draw(0.8, 2.0)
    for x in np.linspace(-length / 2, length / 2, max(2, round(length / 2.2))):
        stage.box((float(x), 0.0, height / 2), (0.08, 0.08, height), wood)
    for up in np.linspace(0.15, 0.95, int(stage.rng.integers(2, 5))) * height:
        stage.box((0.0, 0.0, float(up)), (length, 0.03, 0.05), wood)
    if stage.chance(0.5):
        for x in np.linspace(-length / 2, length / 2, stage.pieces(int(length / 0.2))):
            stage.box((float(x), 0.0, height / 2), (0.03, 0.02, height), wood)


def add_guardrail(stage: Stage, length: float) -> None:
    """Add a guard rail along x on short posts, or a concrete barrier."""
    if stage.chance(0.3):
        stage.box((0.0, 0.0, 0.4), (length, 0.4, 0.8), stage.look('concrete'))
        return
    metal = stage.look('metal')
    stage.box((0.0, 0.0, 0.6), (length, 0.06, 0.3), metal)
    for x in np.linspace(-length / 2, length / 2, stage.pieces(int(length / 2.0))):
        stage.cylinder((float(x), 0.06, 0.35), 0.05, 0.7, metal)


def add_container(stage: Stage) -> None:
    """Add a shipping container, or two on each other, along x."""
    for i in range(1 + stage.chance(0.3)):
        length = 6.1 if stage.chance(0.6) else 12.2
        paint = stage.look('paint')
        stage.box((0.0, 1.22, 1.3 + 2.6 * i), (length, 2.44, 2.59), paint)


def _add_balconies(stage: Stage, length: float, height: float) -> None:
    slab = stage.look('concrete')
    across = stage.draw(-0.3, 0.3) * length
    for up in np.arange(3.0, height - 1.0, stage.draw(2.6, 3.2)):
        stage.box((across, -0.5, float(up)), (2.6, 1.1, 0.15), slab)
        stage.box((across, -1.0, float(up) + 0.5), (2.6, 0.05, 0.9), slab)
