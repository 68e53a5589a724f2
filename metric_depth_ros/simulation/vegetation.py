# SPDX-License-Identifier: Apache-2.0
"""Plants. Each stands at the origin of its stage; crowns are made of many leaves where it is near.

Leaves are flattened ellipsoids at all angles, so that crowns have ragged outlines and gaps, as
real ones do.
"""

from __future__ import annotations

import math

from metric_depth_ros.simulation.stage import Stage
from metric_depth_ros.simulation.world import Vector, rotation


def add_tree(stage: Stage) -> None:
    """Add a tree of any kind, 3 to 12 m tall."""
    kind = stage.rng.random()
    if kind < 0.6:
        add_broadleaf(stage)
    elif kind < 0.85:
        add_conifer(stage)
    else:
        add_bare_tree(stage)


def add_broadleaf(stage: Stage) -> None:
    """Add a tree with a round crown."""
    bark, leaf = stage.look('bark'), stage.look('leaf')
    height = stage.draw(1.8, 3.5)
    spread = stage.draw(0.9, 2.2)
    stage.cylinder((0.0, 0.0, height / 2), stage.draw(0.08, 0.25), height + spread, bark)
    stage.ellipsoid((0.0, 0.0, height + spread), (0.8 * spread, 0.8 * spread, 0.7 * spread), leaf)
    count = stage.pieces(14)
    _add_foliage(stage, (0.0, 0.0, height + spread), (spread, spread, 0.85 * spread), count, leaf)


def add_conifer(stage: Stage) -> None:
    """Add a tree whose crown gets narrower with height."""
    bark, leaf = stage.look('bark'), stage.look('leaf')
    height, foot = stage.draw(4.0, 11.0), stage.draw(0.3, 1.5)
    wide = stage.draw(0.12, 0.22) * height
    stage.cylinder((0.0, 0.0, height / 2), 0.015 * height + 0.05, height, bark)
    floors = stage.pieces(9)
    for i in range(floors):
        part = (i + 0.4) / floors
        radius = wide * (1.0 - 0.9 * part)
        center = (stage.draw(-0.1, 0.1), stage.draw(-0.1, 0.1), foot + part * (height - foot))
        stage.ellipsoid(center, (radius, radius, 0.75 * height / floors), leaf)


def add_bare_tree(stage: Stage) -> None:
    """Add a tree in winter: a trunk and thin branches."""
    bark = stage.look('bark')
    height = stage.draw(2.5, 6.0)
    stage.cylinder((0.0, 0.0, height / 2), stage.draw(0.06, 0.18), height, bark)
    for _ in range(stage.pieces(14)):
        up, yaw = stage.draw(0.35, 1.0) * height, stage.draw(0.0, 6.28)
        reach, rise = stage.draw(0.5, 1.8), stage.draw(0.2, 1.5)
        end = (reach * math.cos(yaw), reach * math.sin(yaw), up + rise)
        stage.rod((0.0, 0.0, up), end, stage.draw(0.012, 0.04), bark)


def add_bush(stage: Stage) -> None:
    """Add a bush, 0.5 to 2 m."""
    leaf = stage.look('leaf')
    radius, height = stage.draw(0.4, 1.2), stage.draw(0.3, 0.9)
    stage.ellipsoid((0.0, 0.0, height * 0.7), (0.8 * radius, 0.8 * radius, height), leaf)
    _add_foliage(stage, (0.0, 0.0, height), (radius, radius, height), stage.pieces(16), leaf)


def add_hedge(stage: Stage, length: float) -> None:
    """Add a hedge along x."""
    leaf, height = stage.look('leaf'), stage.draw(0.8, 2.2)
    stage.box((0.0, 0.0, height / 2), (length, stage.draw(0.5, 1.0), height), leaf)
    for _ in range(stage.pieces(10)):
        x, radius = stage.draw(-length / 2, length / 2), stage.draw(0.2, 0.45)
        stage.ellipsoid((x, 0.0, height - 0.1), (radius, 0.5, radius), leaf)


def add_grass(stage: Stage) -> None:
    """Add a tuft of tall blades."""
    leaf = stage.look('grass')
    for _ in range(stage.pieces(10)):
        yaw, lean = stage.draw(0.0, 6.28), stage.draw(0.0, 0.6)
        height = stage.draw(0.15, 0.6)
        x, y = stage.draw(-0.25, 0.25), stage.draw(-0.25, 0.25)
        turn = rotation(yaw, lean)
        stage.ellipsoid((x, y, 0.45 * height), (0.006, 0.02, 0.5 * height), leaf, turn)


def add_potted_plant(stage: Stage) -> None:
    """Add a plant in a pot, about 1 m tall."""
    pot, leaf = stage.look('brick'), stage.look('leaf')
    stage.cylinder((0.0, 0.0, 0.2), 0.17, 0.4, pot)
    count = stage.pieces(14)
    for i in range(count):
        yaw, lean = 2.4 * i, stage.draw(0.2, 1.1)
        length = stage.draw(0.22, 0.42)
        reach = length * math.sin(lean)
        center = (reach * math.cos(yaw), reach * math.sin(yaw), 0.4 + length * math.cos(lean))
        stage.ellipsoid(center, (0.012, 0.05, length), leaf, rotation(yaw, lean))


def _add_foliage(stage: Stage, center: Vector, radii: Vector, count: int, leaf: int) -> None:
    """Strew clumps of leaves over the surface of an ellipsoid."""
    rng = stage.rng
    size = 0.9 * (radii[0] + radii[2]) / 2.0 / math.sqrt(count / 3.0)
    for _ in range(count):
        direction = rng.normal(size=3)
        direction *= rng.uniform(0.6, 1.05) / max(1e-6, float((direction**2).sum() ** 0.5))
        x, y, z = (c + r * float(d) for c, r, d in zip(center, radii, direction, strict=True))
        turn = rotation(stage.draw(0.0, 6.28), stage.draw(-1.0, 1.0))
        clump = size * stage.draw(0.5, 1.2)
        stage.ellipsoid((x, y, z), (clump, stage.draw(0.5, 1.0) * clump, 0.6 * clump), leaf, turn)
