# SPDX-License-Identifier: Apache-2.0
"""What stands beside streets. Each stands at the origin of its stage, its front toward -y."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metric_depth_ros.simulation.things.stage import Stage
from metric_depth_ros.simulation.world import rotation


def add_lamp_post(stage: Stage) -> None:
    """Add a street lamp whose arm reaches over the road."""
    metal, height = stage.look('metal'), stage.draw(4.0, 8.0)
    stage.cylinder((0.0, 0.0, height / 2), stage.draw(0.05, 0.1), height, metal)
    stage.box((0.0, -0.7, height), (0.25, 1.6, 0.12), metal)


def add_sign(stage: Stage) -> None:
    """Add a traffic sign on a thin pole; it faces along x."""
    metal, face = stage.look('metal'), stage.look('paint')
    height = stage.draw(2.0, 2.8)
    stage.cylinder((0.0, 0.0, height / 2), 0.03, height, metal)
    if stage.chance(0.5):
        size = stage.draw(0.25, 0.4)
        stage.cylinder((-0.04, 0.0, height), size, 0.03, face, rotation(pitch=np.pi / 2))
    else:
        stage.box((-0.04, 0.0, height), (0.03, stage.draw(0.4, 1.2), stage.draw(0.4, 0.8)), face)


def add_traffic_light(stage: Stage) -> None:
    """Add a traffic light, sometimes on an arm over the road."""
    metal, case = stage.look('metal'), stage.look('rubber')
    reach = stage.draw(0.0, 5.0) if stage.chance(0.5) else 0.0
    height = 5.2 if reach else 3.0
    stage.cylinder((0.0, 0.0, height / 2), 0.08, height, metal)
    if reach:
        stage.rod((0.0, 0.0, height), (0.0, -reach, height + 0.2), 0.06, metal)
    stage.box((-0.1, -reach, height - 0.2), (0.25, 0.35, 0.95), case)


def add_bollards(stage: Stage) -> None:
    """Add a row of bollards along x."""
    metal, radius, height = stage.look('metal'), stage.draw(0.04, 0.12), stage.draw(0.5, 1.1)
    for i in range(int(stage.rng.integers(3, 8))):
        stage.cylinder((1.6 * i, 0.0, height / 2), radius, height, metal)


def add_bench(stage: Stage) -> None:
    """Add a bench."""
    wood, metal = stage.look('wood'), stage.look('metal')
    for i in range(3):
        stage.box((0.0, -0.15 + 0.15 * i, 0.45), (1.7, 0.12, 0.04), wood)
    for i in range(2):
        stage.box((0.0, 0.25 + 0.03 * i, 0.65 + 0.17 * i), (1.7, 0.03, 0.12), wood)
    for x in (-0.7, 0.7):
        stage.box((x, 0.05, 0.22), (0.05, 0.4, 0.44), metal)


def add_bin(stage: Stage) -> None:
    """Add a waste bin or a wheeled one."""
    body = stage.look('plastic')
    if stage.chance(0.5):
        stage.cylinder((0.0, 0.0, 0.5), 0.25, 1.0, body)
    else:
        stage.box((0.0, 0.0, 0.55), (0.58, 0.7, 1.05), body)
        stage.box((0.0, 0.05, 1.1), (0.6, 0.74, 0.06), body)


def add_cones(stage: Stage) -> None:
    """Add traffic cones in a row along x."""
    body = stage.look('lamp')
    for i in range(int(stage.rng.integers(1, 5))):
        x = 2.0 * i
        stage.box((x, 0.0, 0.02), (0.36, 0.36, 0.04), body)
        for up, radius in ((0.15, 0.13), (0.35, 0.09), (0.55, 0.05)):
            stage.cylinder((x, 0.0, up), radius, 0.22, body)


def add_kiosk(stage: Stage) -> None:
    """Add a bus shelter: a roof on posts with a glass back, a bench inside."""
    metal, glass = stage.look('metal'), stage.look('glass')
    length = stage.draw(2.5, 4.5)
    stage.box((0.0, 0.0, 2.4), (length, 1.6, 0.12), metal)
    for x in (-length / 2, length / 2):
        stage.box((x, 0.6, 1.2), (0.08, 0.08, 2.4), metal)
    stage.box((0.0, 0.65, 1.3), (length, 0.03, 1.7), glass)
    stage.box((0.0, 0.35, 0.5), (0.7 * length, 0.35, 0.05), metal)


def add_wires(stage: Stage, length: float) -> None:
    """Add wooden masts along x with wires that sag between them."""
    wood, wire = stage.look('bark'), stage.look('rubber')
    height, step = stage.draw(6.0, 9.0), stage.draw(18.0, 30.0)
    masts = np.arange(-0.1 * length, 0.9 * length, step)
    for x in masts:
        stage.cylinder((float(x), 0.0, height / 2), 0.12, height, wood)
        stage.box((float(x), 0.0, height - 0.3), (0.1, 1.8, 0.1), wood)
    for x in masts[:-1]:
        for y in (-0.8, 0.8):
            low = (float(x) + step / 2, y, height - 0.3 - 0.02 * step)
            stage.rod((float(x), y, height - 0.25), low, 0.015, wire)
            stage.rod(low, (float(x) + step, y, height - 0.25), 0.015, wire)


ROADSIDE: tuple[Callable[[Stage], None], ...] = (
    add_lamp_post, add_sign, add_traffic_light, add_bollards, add_bench, add_bin, add_cones,
    add_kiosk,
)  # fmt: skip
