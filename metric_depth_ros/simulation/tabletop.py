# SPDX-License-Identifier: Apache-2.0
"""A camera moves around a table with thin, round and shiny things on it."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from metric_depth_ros.simulation.scene import OPTICAL, Scene, camera_of, looking_at
from metric_depth_ros.simulation.sensors.rgbd import DepthCameraModel
from metric_depth_ros.simulation.world import (
    RGB,
    Light,
    Pattern,
    World,
    WorldBuilder,
    linear,
    rotation,
)

DEFAULT_SIZE = (640, 480)
_FOV_DEG = 62.0
_TABLE_M = 0.74
_LYING = rotation(pitch=math.pi / 2)  # turns a cylinder's axis to the x axis


def make_tabletop(size: tuple[int, int], seed: int) -> Scene:
    """Return a table with objects; the same seed gives the same scene.

    Parameters
    ----------
    size
        (width, height) of the image in pixels.
    seed
        Seed of all that is random in the world.
    """
    rng = np.random.default_rng(seed)
    start = rng.uniform(-0.5, -0.2)

    def base_at(seconds: float) -> NDArray[np.float64]:
        around = start + 0.16 * seconds
        radius = 0.95 - 0.02 * seconds
        eye = np.array([-radius * math.cos(around), radius * math.sin(around), 1.2])
        return looking_at(eye, np.array([0.05, 0.0, _TABLE_M + 0.05]))

    return Scene(
        world=_make_world(rng),
        camera=camera_of(*size, _FOV_DEG),
        T_base_camera=OPTICAL.copy(),
        base_at=base_at,
        depth_camera=DepthCameraModel(),
        max_truth_m=10.0,
    )


def _make_world(rng: np.random.Generator) -> World:
    build = WorldBuilder()
    tiles = build.material(linear(120, 116, 110), linear(146, 142, 136), Pattern.CHECKER, 0.4)
    build.ground(tiles)
    wall = build.material(linear(196, 190, 176), linear(166, 132, 116), Pattern.BRICKS, 0.4)
    build.box((1.9, 0.0, 1.5), (0.1, 9.0, 3.0), wall)
    build.box((0.0, -2.6, 1.5), (9.0, 0.1, 3.0), wall)
    build.box((0.0, 2.6, 1.5), (9.0, 0.1, 3.0), wall)
    top = build.material(linear(186, 140, 94), linear(136, 92, 56), Pattern.WOOD, 0.12, 0.2)
    build.box((0.0, 0.0, _TABLE_M - 0.02), (1.0, 1.4, 0.04), top)
    for x in (-0.44, 0.44):
        for y in (-0.64, 0.64):
            build.cylinder((x, y, _TABLE_M / 2 - 0.02), 0.03, _TABLE_M - 0.04, top)
    _add_crockery(build, rng)
    _add_stationery(build, rng)
    _add_toys(build, rng)
    return build.build(
        Light(
            position=torch.tensor([[-0.5, 0.9, 2.2, 1.0]]),
            color=torch.tensor([[1.35, 1.25, 1.1]]),
            ambient=torch.tensor([[0.3, 0.31, 0.33]]),
            sky=torch.tensor([[0.55, 0.57, 0.6]]),
            haze=torch.tensor([1e4]),
        )
    )


def _add_crockery(build: WorldBuilder, rng: np.random.Generator) -> None:
    for x, y in ((-0.12, 0.3), (0.2, -0.38)):
        china = build.material(_any_color(rng), pattern=Pattern.PLAIN, gloss=0.6)
        build.cylinder((x, y, _TABLE_M + 0.05), 0.04, 0.1, china)
        for lift, turn in ((0.025, 0.0), (0.075, 0.0), (0.05, math.pi / 2)):
            center = (x, y - (0.055 if turn == 0.0 else 0.072), _TABLE_M + lift)
            tilt = rotation(roll=math.pi / 2) if turn == 0.0 else None
            build.cylinder(center, 0.007, 0.04 if turn == 0.0 else 0.057, china, tilt)
    glass = build.material(linear(60, 120, 74), pattern=Pattern.PLAIN, gloss=0.95)
    x, y = 0.28, 0.12
    build.cylinder((x, y, _TABLE_M + 0.09), 0.036, 0.18, glass)
    build.ellipsoid((x, y, _TABLE_M + 0.18), (0.036, 0.036, 0.04), glass)
    build.cylinder((x, y, _TABLE_M + 0.25), 0.013, 0.1, glass)
    plate = build.material(linear(228, 226, 218), pattern=Pattern.PLAIN, gloss=0.5)
    build.ellipsoid((0.0, -0.1, _TABLE_M + 0.004), (0.13, 0.13, 0.014), plate)
    apple = build.material(linear(186, 40, 36), linear(206, 150, 60), Pattern.NOISE, 0.06, 0.4)
    for x, y in ((0.02, -0.07), (-0.05, -0.13), (0.04, -0.16)):
        build.ellipsoid((x, y, _TABLE_M + 0.05), (0.037, 0.037, 0.035), apple)
    can = build.material(linear(200, 204, 208), linear(170, 40, 44), Pattern.STRIPES, 0.03, 0.85)
    build.cylinder((0.32, -0.12, _TABLE_M + 0.06), 0.033, 0.12, can)


def _add_stationery(build: WorldBuilder, rng: np.random.Generator) -> None:
    height = _TABLE_M
    for i in range(4):
        cover = build.material(_any_color(rng), period=0.05)
        thick = rng.uniform(0.015, 0.04)
        size = (rng.uniform(0.16, 0.2), rng.uniform(0.2, 0.26), thick)
        turn = rotation(rng.uniform(-0.4, 0.4))
        build.box((0.25 - 0.01 * i, 0.42, height + thick / 2), size, cover, turn)
        height += thick
    for x, y in ((-0.3, 0.05), (-0.26, -0.3), (-0.35, 0.35)):
        pen = build.material(_any_color(rng), pattern=Pattern.PLAIN, gloss=0.4)
        turn = rotation(rng.uniform(0.0, math.pi)) @ _LYING
        build.cylinder((x, y, _TABLE_M + 0.005), 0.0045, 0.15, pen, turn)
    cup = build.material(linear(70, 84, 110), period=0.04)
    x, y = 0.05, 0.5
    build.cylinder((x, y, _TABLE_M + 0.05), 0.04, 0.1, cup)
    for i in range(5):
        pen = build.material(_any_color(rng), pattern=Pattern.PLAIN)
        turn = rotation(1.3 * i, pitch=0.22)
        reach = 0.024
        center = (x + reach * math.cos(1.3 * i), y + reach * math.sin(1.3 * i), _TABLE_M + 0.12)
        build.cylinder(center, 0.004, 0.16, pen, turn)


def _add_toys(build: WorldBuilder, rng: np.random.Generator) -> None:
    ball = build.material(linear(220, 190, 40), linear(40, 80, 160), Pattern.CHECKER, 0.05, 0.3)
    build.ellipsoid((-0.05, 0.1, _TABLE_M + 0.055), (0.055, 0.055, 0.055), ball)
    for i, (x, y) in enumerate(((-0.2, -0.45), (-0.14, -0.5), (-0.17, -0.47))):
        block = build.material(_any_color(rng), pattern=Pattern.NOISE, period=0.03)
        lift = _TABLE_M + (0.025 if i < 2 else 0.075)
        build.box((x, y, lift), (0.05, 0.05, 0.05), block, rotation(rng.uniform(0.0, 1.5)))
    wire = build.material(linear(40, 40, 44), pattern=Pattern.PLAIN, gloss=0.3)
    for i in range(14):
        start = np.array([0.42 - 0.03 * i, -0.56 + 0.03 * math.sin(0.9 * i)])
        end = np.array([0.42 - 0.03 * (i + 1), -0.56 + 0.03 * math.sin(0.9 * (i + 1))])
        x, y = (start + end) / 2
        yaw = math.atan2(*(end - start)[::-1])
        build.cylinder(
            (x, y, _TABLE_M + 0.004),
            0.003,
            float(np.linalg.norm(end - start)) + 0.002,
            wire,
            rotation(yaw) @ _LYING,
        )


def _any_color(rng: np.random.Generator) -> RGB:
    red, green, blue = rng.integers(40, 215, 3)
    return linear(int(red), int(green), int(blue))
