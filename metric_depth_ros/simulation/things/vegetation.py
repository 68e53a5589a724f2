# SPDX-License-Identifier: Apache-2.0
"""Plants. Each stands at the origin of its stage; crowns are made of many leaves where it is near.

Leaves are flattened ellipsoids at all angles, so that crowns have ragged outlines and gaps, as
real ones do.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.simulation.things.stage import Stage
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
    count = stage.pieces(100)
    _add_foliage(stage, (0.0, 0.0, height + spread), (spread, spread, 0.85 * spread), count, leaf)


def add_conifer(stage: Stage) -> None:
    """Add a tree whose crown gets narrower with height."""
    bark, leaf = stage.look('bark'), stage.look('leaf')
    height, foot = stage.draw(4.0, 11.0), stage.draw(0.3, 1.5)
    wide = stage.draw(0.12, 0.22) * height
    stage.cylinder((0.0, 0.0, height / 2), 0.015 * height + 0.05, height, bark)
    for _ in range(stage.pieces(80)):
        part = stage.rng.random() ** 1.5
        reach, yaw = wide * (1.0 - 0.92 * part), stage.draw(0.0, 2.0 * math.pi)
        out = 0.5 * reach
        center = (out * math.cos(yaw), out * math.sin(yaw), foot + part * (height - foot))
        turn = rotation(yaw, stage.draw(0.1, 0.6))
        stage.ellipsoid(
            center, (0.5 * reach + 0.1, 0.14 * reach + 0.1, 0.035 * height), leaf, turn
        )


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
    _add_foliage(stage, (0.0, 0.0, height), (radius, radius, height), stage.pieces(70), leaf)


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
    """Fill an ellipsoid with lobes, and strew clumps of leaves over their surfaces."""
    rng, extent = stage.rng, np.array(radii)
    lobes = min(8, 2 + count // 8)
    size = rng.uniform(0.3, 0.6, lobes)[:, None] * extent
    middle = center + rng.uniform(0.1, 0.6, lobes)[:, None] * extent * _directions(rng, lobes)
    for place, radius in zip(middle.tolist(), size.tolist(), strict=True):
        stage.ellipsoid((place[0], place[1], place[2]), (radius[0], radius[1], radius[2]), leaf)
    which = rng.integers(0, lobes, count)
    reach = rng.uniform(0.8, 1.45, count)[:, None] * size[which]
    places = middle[which] + reach * _directions(rng, count)
    # Large clumps and single twigs; the latter make the outline ragged.
    largest = 1.2 * float(extent.mean()) / math.sqrt(max(count, 12) / 3.0)
    clumps = largest * np.exp(rng.uniform(math.log(0.12), 0.0, count))
    turns = rng.uniform((0.0, -1.2), (6.28, 1.2), (count, 2))
    flat = rng.uniform((0.4, 0.25), (1.0, 0.8), (count, 2))
    for (x, y, z), (yaw, pitch), clump, (wide, thick) in zip(
        places.tolist(), turns.tolist(), clumps.tolist(), flat.tolist(), strict=True
    ):
        axes = (clump, wide * clump, thick * clump)
        stage.ellipsoid((x, y, z), axes, leaf, rotation(yaw, pitch))


def _directions(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return unit vectors (N, 3) in all directions."""
    vectors = rng.normal(size=(count, 3))
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
