# SPDX-License-Identifier: Apache-2.0
"""Clutter: any solids, at any place and scale. No layout to learn, only what depth looks like."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from metric_depth_ros.simulation.lights import random_daylight, random_lamp
from metric_depth_ros.simulation.things.stage import Stage
from metric_depth_ros.simulation.world import Rotation, Vector, rotation
from metric_depth_ros.simulation.worlds.cameras import Pose, random_tilt
from metric_depth_ros.simulation.worlds.canvas import Canvas, Composition


class Family(NamedTuple):
    """Mixtures of solids.

    Parameters
    ----------
    solids
        Number of single solids, from and to.
    boxes, ellipsoids
        Shares of them; the rest are cylinders.
    groups
        Number of rows, lattices and swarms, at most.
    """

    solids: tuple[int, int]
    boxes: float
    ellipsoids: float
    groups: int


FAMILIES = {
    'mixed': Family((15, 80), 0.45, 0.3, 4),
    'round': Family((10, 60), 0.1, 0.8, 3),
    'blocks': Family((10, 70), 0.9, 0.05, 3),
}
UNSEEN_FAMILIES = {'poles': Family((10, 50), 0.15, 0.1, 7)}


def compose(canvas: Canvas) -> Composition:
    """Compose clutter at any scale, under the sky or a lamp."""
    rng = canvas.rng
    family = canvas.family(FAMILIES, UNSEEN_FAMILIES)
    floor_m, far_m = canvas.between(0.3, 5.0), canvas.between(3.0, 150.0)
    eye = (0.0, 0.0, floor_m)
    add_clutter(canvas.stage(eye), family, floor_m, far_m)
    pitch, roll = random_tilt(rng, 12.0, 6.0)
    corner: Vector = (0.3 * far_m, 0.3 * far_m, floor_m + 0.3 * far_m)
    outdoors = rng.random() < 0.5
    light = random_daylight(rng) if outdoors else random_lamp(rng, (0.0, 0.0, floor_m), corner)
    return Pose(eye, 0.0, pitch, roll), light


def add_clutter(stage: Stage, family: Family, floor_m: float, far_m: float) -> None:
    """Add clutter around the camera's place, from near it to `far_m`.

    Parameters
    ----------
    stage
        Its eye looks along x.
    family
        What to add.
    floor_m
        Depth of the floor below the eye; the ground lies there.
    far_m
        Nothing but the ground and the sky is farther.
    """
    stage.build.ground(stage.look.free())
    if stage.chance(0.3):
        _add_box_room(stage, floor_m, far_m)
    for _ in range(int(stage.rng.integers(*family.solids))):
        place, range_m = _somewhere(stage, floor_m, far_m)
        _add_solid(stage, family, place, range_m)
    for _ in range(int(stage.rng.integers(0, family.groups + 1))):
        place, range_m = _somewhere(stage, floor_m, far_m)
        here = stage.posed(place, _any_turn(stage))
        (_add_row, _add_lattice, _add_swarm)[stage.rng.integers(3)](here, 0.15 * range_m)


def _somewhere(stage: Stage, floor_m: float, far_m: float) -> tuple[Vector, float]:
    """Return a place before the camera, all scales of distance alike, and the distance."""
    range_m = math.exp(stage.draw(math.log(0.35), math.log(far_m)))
    yaw, rise = stage.rng.normal(0.0, 0.6), stage.rng.normal(-0.05, 0.35)
    x, y, z = stage.eye
    up = range_m * rise
    if stage.chance(0.5) and range_m > floor_m:
        up = -floor_m  # stands on the ground
    return (x + range_m * math.cos(yaw), y + range_m * math.sin(yaw), max(0.0, z + up)), range_m


def _add_solid(stage: Stage, family: Family, place: Vector, range_m: float) -> None:
    size = range_m * math.exp(stage.draw(math.log(0.02), math.log(0.5)))
    rx, ry, rz = (size * np.exp(stage.rng.normal(0.0, 0.7, 3))).clip(1e-3, range_m * 0.5).tolist()
    # What is wide must not reach the camera.
    shift = max(0.0, 1.2 * math.hypot(rx, ry, rz) - range_m)
    place = (place[0] + shift, place[1], place[2] + (rz if place[2] == 0.0 else 0.0))
    turn, look = _any_turn(stage), stage.look.free()
    kind = stage.rng.random()
    if kind < family.boxes:
        stage.box(place, (2.0 * rx, 2.0 * ry, 2.0 * rz), look, turn)
    elif kind < family.boxes + family.ellipsoids:
        stage.ellipsoid(place, (rx, ry, rz), look, turn)
    else:
        thin = 0.1 if stage.chance(0.6) else 1.0
        stage.cylinder(place, thin * rx, 2.0 * rz, look, turn)


def _any_turn(stage: Stage) -> Rotation:
    """Return a rotation: often upright, sometimes any."""
    yaw = stage.draw(0.0, 2.0 * math.pi)
    if stage.chance(0.6):
        return rotation(yaw)
    return rotation(yaw, stage.draw(-1.5, 1.5), stage.draw(-1.5, 1.5))


def _add_row(stage: Stage, step: float) -> None:
    """Add a row of equal bars, as of a fence or a railing."""
    look, thick = stage.look.free(), step * stage.draw(0.03, 0.3)
    height = step * stage.draw(1.0, 6.0)
    for i in range(int(stage.rng.integers(4, 16))):
        if stage.chance(0.5):
            stage.cylinder((i * step, 0.0, height / 2), thick, height, look)
        else:
            stage.box((i * step, 0.0, height / 2), (thick, 2.0 * thick, height), look)


def _add_lattice(stage: Stage, step: float) -> None:
    """Add a lattice of thin bars."""
    look, thick = stage.look.free(), step * stage.draw(0.03, 0.15)
    across, up = stage.rng.integers(2, 7, 2).tolist()
    for i in range(across + 1):
        stage.box((i * step, 0.0, up * step / 2), (thick, thick, up * step), look)
    for i in range(up + 1):
        stage.box((across * step / 2, 0.0, i * step), (across * step, thick, thick), look)


def _add_swarm(stage: Stage, step: float) -> None:
    """Add many small flat things in a cloud, as of foliage."""
    look = stage.look.free()
    for _ in range(int(stage.rng.integers(10, 40))):
        x, y, z = (stage.rng.normal(0.0, 0.8, 3) * step).tolist()
        radius = step * stage.draw(0.1, 0.4)
        turn = rotation(*stage.rng.uniform(-1.5, 1.5, 3))
        stage.ellipsoid((x, y, z + step), (radius, 0.6 * radius, 0.15 * radius), look, turn)


def _add_box_room(stage: Stage, floor_m: float, far_m: float) -> None:
    """Add walls around everything, and sometimes a ceiling."""
    look, other = stage.look.free(), stage.look.free()
    half, height = far_m * stage.draw(0.2, 0.7), floor_m + far_m * stage.draw(0.1, 0.5)
    x, y, _ = stage.eye
    turned = stage.at(x, y, 0.0, stage.rng.normal(0.0, 0.3))
    thick = 0.1 + 0.01 * far_m
    turned.box((far_m, 0.0, height / 2), (thick, 4.0 * half, height), look)
    for side in (-half, half):
        turned.box((far_m / 2, side, height / 2), (1.5 * far_m, thick, height), other)
    if stage.chance(0.6):
        turned.box((far_m / 2, 0.0, height), (2.0 * far_m, 2.2 * half, thick), look)
