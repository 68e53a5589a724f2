# SPDX-License-Identifier: Apache-2.0
"""A drive down a street: buildings, parked and oncoming cars, trees, poles, people, a wall."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from metric_depth_ros.simulation.scene import OPTICAL, Scene, camera_of
from metric_depth_ros.simulation.sensors.lidar import LidarModel
from metric_depth_ros.simulation.world import (
    RGB,
    Light,
    Pattern,
    Vector,
    World,
    WorldBuilder,
    linear,
    rotation,
)

DEFAULT_SIZE = (832, 256)
_FOV_DEG = 81.0  # KITTI's
_SPEED_M_S = 7.0
_SIDEWALK_M = 5.6  # distance of the curb from the middle of the road
_WALL_M = 11.0
_STREET_M = (-20.0, 130.0)
_ROLL_TO_Y = rotation(roll=math.pi / 2)  # turns a cylinder's axis to the y axis


def make_street(size: tuple[int, int], seed: int) -> Scene:
    """Return a street scene; the same seed gives the same scene.

    Parameters
    ----------
    size
        (width, height) of the image in pixels.
    seed
        Seed of all that is random in the world.
    """
    rng = np.random.default_rng(seed)
    T_base_camera = OPTICAL.copy()
    T_base_camera[:3, 3] = (1.6, 0.0, 1.6)
    T_base_lidar = np.eye(4)
    T_base_lidar[:3, 3] = (1.3, 0.15, 1.95)
    sway = rng.uniform(0.0, 2.0 * math.pi)

    def base_at(seconds: float) -> NDArray[np.float64]:
        yaw = 0.015 * math.sin(0.9 * seconds + sway)
        T = np.eye(4)
        T[:3, :3] = rotation(yaw, pitch=0.004 * math.sin(5.0 * seconds))
        T[:3, 3] = (_SPEED_M_S * seconds, -1.75 + 0.1 * math.sin(0.7 * seconds), 0.0)
        return T

    return Scene(
        world=_make_world(rng),
        camera=camera_of(*size, _FOV_DEG),
        T_base_camera=T_base_camera,
        base_at=base_at,
        lidar=LidarModel(),
        T_base_lidar=T_base_lidar,
        max_truth_m=120.0,
    )


def _make_world(rng: np.random.Generator) -> World:
    build = WorldBuilder()
    road = build.material(linear(92, 92, 96), linear(225, 225, 215), Pattern.ROAD, period=6.0)
    # Settled asphalt: a few centimeters up and down, so that the ground is no perfect plane.
    waves = [
        (0.025, rng.uniform(18.0, 40.0), rng.uniform(25.0, 60.0), rng.uniform(0.0, 6.0))
        for _ in range(2)
    ]
    build.ground(road, waves)
    _add_sidewalks(build)
    for side in (-1.0, 1.0):
        _add_buildings(build, rng, side)
        _add_street_furniture(build, rng, side)
        _add_parked_cars(build, rng, side)
    _add_car(build, rng, (34.0, 1.9, 0.0), heading=math.pi)
    _add_car(build, rng, (62.0, -1.9, 0.0), heading=0.0)
    azimuth, height = rng.uniform(0.6, 1.2) * rng.choice((-1.0, 1.0)), rng.uniform(0.6, 0.9)
    sun = (-math.cos(azimuth), math.sin(azimuth), height, 0.0)
    return build.build(
        Light(
            position=torch.tensor([sun], dtype=torch.float32),
            color=torch.tensor([[1.7, 1.55, 1.3]]),
            ambient=torch.tensor([[0.3, 0.35, 0.43]]),
            sky=torch.tensor([[0.75, 0.82, 0.92]]),
            haze=torch.tensor([600.0]),
        )
    )


def _add_sidewalks(build: WorldBuilder) -> None:
    slabs = build.material(linear(150, 146, 140), linear(126, 123, 118), Pattern.CHECKER, 0.6)
    start, end = _STREET_M
    width = _WALL_M - _SIDEWALK_M
    for side in (-1.0, 1.0):
        center = ((start + end) / 2, side * (_SIDEWALK_M + width / 2), 0.0)
        build.box(center, (end - start, width, 0.26), slabs)


def _add_buildings(build: WorldBuilder, rng: np.random.Generator, side: float) -> None:
    facades = [(176, 132, 108), (198, 186, 160), (150, 152, 158), (204, 200, 196), (170, 120, 96)]
    glass = linear(42, 52, 66)
    x = _STREET_M[0]
    while x < _STREET_M[1]:
        length, depth, height = rng.uniform(9, 17), rng.uniform(6, 9), rng.uniform(6.5, 15)
        set_back = rng.uniform(0.0, 1.5)
        color = linear(*facades[rng.integers(len(facades))])
        wall = build.material(color, glass, Pattern.WINDOWS, rng.uniform(2.4, 3.2), gloss=0.15)
        y = side * (_WALL_M + set_back + depth / 2)
        build.box((x + length / 2, y, height / 2), (length, depth, height), wall)
        plinth = build.material(linear(120, 90, 78), linear(170, 165, 158), Pattern.BRICKS, 0.5)
        build.box((x + length / 2, y, 0.5), (length + 0.1, depth + 0.1, 1.0), plinth)
        x += length
        if rng.random() < 0.5:
            gap = rng.uniform(3.0, 7.0)
            build.box((x + gap / 2, side * (_WALL_M + 0.4), 0.9), (gap, 0.25, 1.8), plinth)
            x += gap
    build.box((_STREET_M[1] + 20.0, side * 8.0, 6.0), (10.0, 15.0, 12.0), wall)


def _add_street_furniture(build: WorldBuilder, rng: np.random.Generator, side: float) -> None:
    metal = build.material(linear(96, 100, 104), gloss=0.4, period=0.05)
    bark = build.material(linear(96, 74, 56), period=0.08)
    for x in np.arange(4.0, 110.0, 19.0) + rng.uniform(0.0, 5.0):
        y = side * (_SIDEWALK_M + 0.6)
        build.cylinder((x, y, 3.1), 0.08, 6.2, metal)
        build.box((x, y - side * 0.7, 6.2), (0.25, 1.6, 0.12), metal)
    for x in np.arange(8.0, 110.0, 13.0) + rng.uniform(0.0, 6.0):
        _add_tree(build, rng, (x, side * rng.uniform(7.6, 9.2), 0.1), bark)
    for x in rng.uniform(6.0, 60.0, 3):
        _add_person(build, rng, (x, side * rng.uniform(6.3, 7.4), 0.13))
    for x in np.arange(2.0, 40.0, 4.0):
        build.cylinder((x, side * (_SIDEWALK_M + 0.25), 0.5), 0.06, 1.0, metal)


def _add_tree(build: WorldBuilder, rng: np.random.Generator, foot: Vector, bark: int) -> None:
    x, y, z = foot
    height = rng.uniform(2.0, 3.0)
    build.cylinder((x, y, z + height / 2), rng.uniform(0.1, 0.18), height + 0.6, bark)
    green = linear(int(rng.integers(60, 95)), int(rng.integers(105, 135)), 52)
    leaves = build.material(green, linear(30, 52, 24), Pattern.NOISE, 0.25)
    for _ in range(3):
        dx, dy, dz = rng.uniform((-0.7, -0.7, 0.2), (0.7, 0.7, 1.3))
        radius = rng.uniform(0.8, 1.25)
        build.ellipsoid((x + dx, y + dy, z + height + dz), (radius, radius, 0.85 * radius), leaves)


def _add_person(build: WorldBuilder, rng: np.random.Generator, foot: Vector) -> None:
    x, y, z = foot
    coat = build.material(_any_color(rng), period=0.2)
    trousers = build.material(linear(48, 52, 70), period=0.2)
    skin = build.material(linear(206, 164, 140), period=0.1)
    for dx in (-0.12, 0.12):
        build.cylinder((x + dx, y + 0.3 * dx, z + 0.42), 0.085, 0.85, trousers)
    build.ellipsoid((x, y, z + 1.12), (0.2, 0.25, 0.4), coat)
    build.ellipsoid((x, y, z + 1.62), (0.11, 0.11, 0.14), skin)


def _add_parked_cars(build: WorldBuilder, rng: np.random.Generator, side: float) -> None:
    x = rng.uniform(7.0, 11.0)
    while x < 95.0:
        heading = 0.0 if side < 0.0 else math.pi
        y = side * (_SIDEWALK_M - 1.05)
        _add_car(build, rng, (x, y, 0.0), heading + rng.normal(0.0, 0.02))
        x += rng.uniform(5.2, 5.9) if rng.random() < 0.6 else rng.uniform(9.0, 16.0)


def _add_car(build: WorldBuilder, rng: np.random.Generator, foot: Vector, heading: float) -> None:
    x, y, z = foot
    turn = rotation(heading)
    paint = build.material(_any_color(rng), pattern=Pattern.PLAIN, gloss=0.7)
    glass = build.material(linear(30, 36, 44), pattern=Pattern.PLAIN, gloss=0.9)
    rubber = build.material(linear(28, 28, 30), linear(150, 150, 155), period=0.4)
    lamp = build.material(linear(170, 40, 36), pattern=Pattern.PLAIN, gloss=0.5)
    length, width, tall = rng.uniform(3.9, 4.6), rng.uniform(1.7, 1.85), rng.uniform(0.0, 0.25)

    def at(forward: float, left: float, up: float) -> Vector:
        c, s = math.cos(heading), math.sin(heading)
        return (x + c * forward - s * left, y + s * forward + c * left, z + up)

    build.box(at(0.0, 0.0, 0.62), (length, width, 0.62), paint, turn)
    build.ellipsoid(at(0.0, 0.0, 0.74), (length / 2, width / 2 + 0.04, 0.4), paint, turn)
    build.ellipsoid(at(-0.25, 0.0, 0.95), (1.55, 0.47 * width, 0.55 + tall), glass, turn)
    build.ellipsoid(at(-0.3, 0.0, 1.36 + tall), (1.05, 0.36 * width, 0.17), paint, turn)
    for left in (-0.36, 0.36):
        build.box(at(-length / 2, left * width, 0.78), (0.08, 0.22, 0.14), lamp, turn)
    for forward in (-0.3 * length, 0.3 * length):
        axle = turn @ _ROLL_TO_Y
        build.cylinder(at(forward, 0.0, 0.32), 0.32, width + 0.02, rubber, axle)


def _any_color(rng: np.random.Generator) -> RGB:
    palette = [
        (190, 36, 40), (36, 70, 140), (214, 214, 216), (40, 42, 46), (120, 126, 132),
        (228, 188, 60), (34, 96, 76), (240, 240, 240), (96, 40, 60),
    ]  # fmt: skip
    return linear(*palette[rng.integers(len(palette))])
