# SPDX-License-Identifier: Apache-2.0
"""A look around a living room: sofa, table, chairs, shelf, lamp, plant, pictures, rug."""

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
_FOV_DEG = 70.0
_LENGTH_M, _WIDTH_M, _HEIGHT_M = 5.6, 4.6, 2.7


def make_indoor(size: tuple[int, int], seed: int) -> Scene:
    """Return a room; the same seed gives the same scene.

    Parameters
    ----------
    size
        (width, height) of the image in pixels.
    seed
        Seed of all that is random in the world.
    """
    rng = np.random.default_rng(seed)

    def base_at(seconds: float) -> NDArray[np.float64]:
        turn = 0.35 * math.sin(0.35 * seconds)
        eye = np.array([0.5 + 0.12 * seconds, 0.7 * math.sin(0.3 * seconds), 1.25])
        return looking_at(eye, eye + (math.cos(turn), math.sin(turn), -0.2))

    return Scene(
        world=_make_world(rng),
        camera=camera_of(*size, _FOV_DEG),
        T_base_camera=OPTICAL.copy(),
        base_at=base_at,
        depth_camera=DepthCameraModel(),
        max_truth_m=20.0,
    )


def _make_world(rng: np.random.Generator) -> World:
    build = WorldBuilder()
    floor = build.material(linear(172, 124, 84), linear(120, 80, 52), Pattern.WOOD, 0.14, 0.15)
    build.ground(floor)
    _add_shell(build)
    _add_sofa(build, rng)
    _add_dining_table(build, rng)
    _add_shelf(build, rng)
    _add_lamp_and_plant(build)
    _add_pictures(build, rng)
    rug = build.material(linear(150, 44, 48), linear(220, 200, 170), Pattern.CHECKER, 0.22)
    build.box((2.6, 0.5, 0.006), (1.7, 1.3, 0.012), rug)
    lamp = (1.6 + rng.uniform(-0.3, 0.3), rng.uniform(-0.4, 0.4), _HEIGHT_M - 0.35, 1.0)
    return build.build(
        Light(
            position=torch.tensor([lamp], dtype=torch.float32),
            color=torch.tensor([[1.25, 1.12, 0.92]]),
            ambient=torch.tensor([[0.3, 0.31, 0.34]]),
            sky=torch.tensor([[0.6, 0.62, 0.66]]),
            haze=torch.tensor([1e4]),
        )
    )


def _add_shell(build: WorldBuilder) -> None:
    paint = build.material(linear(214, 206, 190), linear(200, 190, 172), Pattern.NOISE, 0.8)
    paper = build.material(linear(138, 160, 160), linear(154, 174, 172), Pattern.STRIPES, 0.24)
    white = build.material(linear(232, 232, 228), pattern=Pattern.PLAIN)
    wood = build.material(linear(120, 80, 52), linear(84, 54, 36), Pattern.WOOD, 0.2)
    half, thick = _WIDTH_M / 2, 0.1
    build.box((_LENGTH_M + thick / 2, 0, 1.35), (thick, _WIDTH_M + 1, _HEIGHT_M + 0.2), paper)
    build.box((-0.6, 0, 1.35), (thick, _WIDTH_M + 1, _HEIGHT_M + 0.2), paint)
    for side in (-1.0, 1.0):
        build.box((2.5, side * (half + thick / 2), 1.35), (7, thick, _HEIGHT_M + 0.2), paint)
        build.box((2.5, side * (half - 0.01), 0.05), (7, 0.02, 0.1), white)
    build.box((_LENGTH_M - 0.01, 0, 0.05), (0.02, _WIDTH_M, 0.1), white)
    build.box((2.5, 0, _HEIGHT_M + thick / 2), (7, _WIDTH_M + 1, thick), white)
    build.box((3.6, half - 0.02, 1.02), (0.9, 0.06, 2.04), wood)
    build.ellipsoid((3.25, half - 0.08, 1.0), (0.03, 0.05, 0.03), white)


def _add_sofa(build: WorldBuilder, rng: np.random.Generator) -> None:
    cloth = build.material(_any_color(rng), pattern=Pattern.NOISE, period=0.05)
    pillow = build.material(_any_color(rng), _any_color(rng), Pattern.STRIPES, 0.09)
    y = -_WIDTH_M / 2 + 0.5
    build.box((3.1, y, 0.22), (1.9, 0.85, 0.44), cloth)
    build.box((3.1, y - 0.34, 0.6), (1.9, 0.2, 0.55), cloth)
    for x in (2.08, 4.12):
        build.box((x, y, 0.34), (0.2, 0.9, 0.68), cloth)
    for x, yaw in ((2.45, 0.3), (3.75, -0.2)):
        turn = rotation(yaw, roll=-0.35)
        build.ellipsoid((x, y - 0.14, 0.62), (0.24, 0.11, 0.22), pillow, turn)


def _add_dining_table(build: WorldBuilder, rng: np.random.Generator) -> None:
    wood = build.material(linear(190, 148, 100), linear(148, 104, 64), Pattern.WOOD, 0.1, 0.3)
    china = build.material(linear(230, 230, 226), pattern=Pattern.PLAIN, gloss=0.6)
    fruit = build.material(linear(226, 120, 36), period=0.05)
    x, y = 4.0, 0.75
    build.cylinder((x, y, 0.73), 0.6, 0.04, wood)
    build.cylinder((x, y, 0.36), 0.05, 0.72, wood)
    build.cylinder((x, y, 0.02), 0.3, 0.04, wood)
    build.cylinder((x + 0.1, y - 0.1, 0.79), 0.13, 0.07, china)
    for dx, dy in rng.uniform(-0.06, 0.06, (4, 2)):
        build.ellipsoid((x + 0.1 + dx, y - 0.1 + dy, 0.85), (0.04, 0.04, 0.04), fruit)
    build.cylinder((x - 0.3, y + 0.15, 0.8), 0.04, 0.1, china)
    for yaw in (2.6, 3.9, 5.4):
        _add_chair(build, x + 0.75 * math.cos(yaw), y + 0.75 * math.sin(yaw), yaw)


def _add_chair(build: WorldBuilder, x: float, y: float, yaw: float) -> None:
    wood = build.material(linear(66, 58, 54), linear(48, 40, 36), Pattern.WOOD, 0.1, 0.2)
    turn = rotation(yaw)
    c, s = math.cos(yaw), math.sin(yaw)

    def at(forward: float, left: float, up: float) -> tuple[float, float, float]:
        return (x + c * forward - s * left, y + s * forward + c * left, up)

    build.box(at(0.0, 0.0, 0.45), (0.42, 0.42, 0.035), wood, turn)
    for forward in (-0.18, 0.18):
        for left in (-0.18, 0.18):
            build.cylinder(at(forward, left, 0.22), 0.016, 0.44, wood)
    for left in (-0.18, 0.0, 0.18):
        build.cylinder(at(0.19, left, 0.68), 0.012, 0.46, wood)
    build.box(at(0.19, 0.0, 0.9), (0.025, 0.42, 0.1), wood, turn)


def _add_shelf(build: WorldBuilder, rng: np.random.Generator) -> None:
    board = build.material(linear(206, 190, 166), linear(176, 156, 128), Pattern.WOOD, 0.1)
    x, width = _LENGTH_M - 0.17, 1.5
    left = -1.55
    for up in (0.1, 0.5, 0.9, 1.3, 1.7):
        build.box((x, left + width / 2, up), (0.3, width, 0.025), board)
    for y in (left, left + width):
        build.box((x, y, 0.87), (0.3, 0.025, 1.7), board)
    for up in (0.1, 0.5, 0.9, 1.3):
        y = left + 0.06
        while y < left + width - 0.1:
            thick, tall = rng.uniform(0.025, 0.06), rng.uniform(0.18, 0.3)
            if rng.random() < 0.8:
                cover = build.material(_any_color(rng), pattern=Pattern.NOISE, period=0.04)
                center = (x - 0.04, y + thick / 2, up + 0.0125 + tall / 2)
                build.box(center, (0.2, thick, tall), cover)
            y += thick + (0.004 if rng.random() < 0.85 else 0.15)


def _add_lamp_and_plant(build: WorldBuilder) -> None:
    metal = build.material(linear(70, 70, 74), pattern=Pattern.PLAIN, gloss=0.6)
    shade = build.material(linear(240, 226, 190), linear(226, 206, 164), Pattern.NOISE, 0.05)
    build.cylinder((5.0, -1.95, 0.8), 0.015, 1.6, metal)
    build.cylinder((5.0, -1.95, 0.015), 0.16, 0.03, metal)
    build.cylinder((5.0, -1.95, 1.6), 0.2, 0.3, shade)
    pot = build.material(linear(176, 96, 64), period=0.1)
    leaf = build.material(linear(70, 120, 54), linear(36, 70, 30), Pattern.NOISE, 0.06)
    build.cylinder((5.15, 1.85, 0.2), 0.17, 0.4, pot)
    for i in range(11):
        yaw, lean = 2.4 * i, 0.25 + 0.07 * i
        turn = rotation(yaw, pitch=lean)
        reach = 0.3 * math.sin(lean)
        center = (5.15 + reach * math.cos(yaw), 1.85 + reach * math.sin(yaw), 0.75 - 0.02 * i)
        build.ellipsoid(center, (0.015, 0.05, 0.36), leaf, turn)


def _add_pictures(build: WorldBuilder, rng: np.random.Generator) -> None:
    frame = build.material(linear(48, 40, 34), pattern=Pattern.PLAIN, gloss=0.3)
    for y, up, width in ((0.75, 1.65, 0.7), (1.65, 1.6, 0.45), (0.0, 1.75, 0.35)):
        art = build.material(_any_color(rng), _any_color(rng), Pattern.NOISE, 0.15)
        build.box((_LENGTH_M - 0.01, y, up), (0.03, width, 0.75 * width), frame)
        build.box((_LENGTH_M - 0.03, y, up), (0.02, 0.86 * width, 0.62 * width), art)


def _any_color(rng: np.random.Generator) -> RGB:
    red, green, blue = rng.integers(40, 215, 3)
    return linear(int(red), int(green), int(blue))
