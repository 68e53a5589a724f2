# SPDX-License-Identifier: Apache-2.0
"""Random worlds and a random camera in each: endless views, every one from a seed.

May import the simulation's vocabulary of things, the ray caster, and below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.simulation.camera import camera_rays
from metric_depth_ros.simulation.lights import random_daylight, random_lamp, random_night
from metric_depth_ros.simulation.looks import PATTERNS, UNSEEN_PATTERNS, Looks
from metric_depth_ros.simulation.photography import CameraNoise, random_noise
from metric_depth_ros.simulation.raycast import cast, narrowed
from metric_depth_ros.simulation.stage import Stage
from metric_depth_ros.simulation.vehicles import add_hood
from metric_depth_ros.simulation.world import Light, Vector, World, WorldBuilder
from metric_depth_ros.simulation.worlds import clutter, room, street, tabletop, terrain
from metric_depth_ros.simulation.worlds.cameras import Pose, random_camera, random_tilt

KINDS = ('street', 'room', 'tabletop', 'terrain', 'clutter')
_SHARES = (0.32, 0.28, 0.14, 0.1, 0.16)
_ATTEMPTS = 6
_DULL_SHARE = 0.15
# So many materials a view must show, unless it may be dull.
_THINGS = {'street': 6, 'room': 6, 'tabletop': 5, 'terrain': 3, 'clutter': 6}
_MAX_DEPTH_M = 250.0
_MARGIN = 0.25  # of the image's larger side: what sensors beside the camera see of it
_FINEST_PX = 0.35
_SHADOWS_FROM_M = 8.0
_PROBE_STEP = 16  # every so many pixels in u and v a ray asks what is there


@dataclass(frozen=True, eq=False)
class ViewSpec:
    """A world and a camera that looks at it.

    Parameters
    ----------
    world
        A batch of one.
    camera
        Geometry of the image.
    T_world_camera
        (4, 4) place of the optical frame.
    kind
        One of `KINDS`.
    noise
        How the picture is taken.
    max_depth_m
        Depths beyond count as sky.
    """

    world: World
    camera: CameraModel
    T_world_camera: NDArray[np.float64]
    kind: str
    noise: CameraNoise
    max_depth_m: float


_Family = TypeVar('_Family')
_Made = tuple[Pose, Light]


def random_view(
    rng: np.random.Generator,
    size: tuple[int, int] | None = None,
    kind: str | None = None,
    split: str = 'train',
) -> ViewSpec:
    """Return a view that nobody has seen.

    Parameters
    ----------
    rng
        All chance comes from here.
    size
        (width, height) in pixels; default: drawn, of 49,152 to 76,800 pixels.
    kind
        One of `KINDS`; default: drawn.
    split
        'train', or 'validation' for families of worlds and patterns that training never sees.
    """
    kind = kind or str(rng.choice(KINDS, p=_SHARES))
    unseen = split == 'validation'
    for attempt in range(_ATTEMPTS):
        camera = random_camera(rng, size, wide=kind == 'street')
        build = WorldBuilder()
        freedom = float(rng.choice((0.0, 0.15, 0.5, 1.0), p=(0.2, 0.35, 0.3, 0.15)))
        looks = Looks(build, rng, freedom, UNSEEN_PATTERNS if unseen else PATTERNS)
        pose, light = _MAKERS[kind](build, rng, looks, unseen)
        world = build.build(light)
        T_world_camera = pose.T_world_camera()
        world = _what_matters(world, camera, T_world_camera)
        dull = rng.random() < _DULL_SHARE
        if attempt == _ATTEMPTS - 1 or _worth_seeing(world, camera, T_world_camera, kind, dull):
            break
    return ViewSpec(world, camera, T_world_camera, kind, random_noise(rng), _MAX_DEPTH_M)


def _what_matters(world: World, camera: CameraModel, T_world_camera: NDArray[np.float64]) -> World:
    """Leave out what the camera, and sensors beside it, hardly see."""
    turn, place = _turn_and_place(T_world_camera)
    margin = _MARGIN * max(camera.width, camera.height)
    u, v = (np.array((-margin, 0.5 * side, side + margin)) for side in camera.size)
    corners = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    xy = camera.pixel_to_normalized(corners).astype(np.float32)
    rays = torch.from_numpy(np.concatenate((xy, np.ones_like(xy[:, :1])), -1)) @ turn.T
    finest = _FINEST_PX / float(camera.K[0, 0])
    return narrowed(world, place, rays, _SHADOWS_FROM_M, finest)


def _turn_and_place(T_world_camera: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    T = torch.from_numpy(T_world_camera.astype(np.float32))
    return T[:3, :3], T[:3, 3]


def _worth_seeing(
    world: World, camera: CameraModel, T_world_camera: NDArray[np.float64], kind: str, dull: bool
) -> bool:
    """Tell whether the camera stands free and sees more than the sky, from a few rays.

    Unless the view may be `dull`, it must see several things, too.
    """
    every = torch.arange(camera.width * camera.height).reshape(camera.height, camera.width)
    few = every[_PROBE_STEP // 2 :: _PROBE_STEP, _PROBE_STEP // 2 :: _PROBE_STEP].reshape(-1)
    turn, place = _turn_and_place(T_world_camera)
    rays = camera_rays(camera)[few] @ turn.T
    hits = cast(world, place[None, None], rays[None])
    depth, things = hits.distance[0].numpy(), len(hits.material.unique())
    near_m = {'tabletop': 0.15, 'clutter': 0.2, 'room': 0.4}.get(kind, 0.6)
    crowded = np.mean(depth < near_m) > (0.1 if kind != 'street' else 0.3)
    open_air = np.mean(np.isinf(depth)) < 0.65
    return bool(
        depth.min() > 0.1 and not crowded and open_air and (dull or things >= _THINGS[kind])
    )


def _family(
    rng: np.random.Generator,
    seen: Mapping[str, _Family],
    unseen: Mapping[str, _Family],
    is_unseen: bool,
) -> _Family:
    families = tuple((unseen if is_unseen else seen).values())
    return families[rng.integers(len(families))]


def _make_street(
    build: WorldBuilder, rng: np.random.Generator, looks: Looks, unseen: bool
) -> _Made:
    family = _family(rng, street.FAMILIES, street.UNSEEN_FAMILIES, unseen)
    road_m = float(rng.uniform(*family.road))
    pitch, roll = random_tilt(rng, 3.0, 1.0)
    if rng.random() < 0.85:  # a car in its lane, or something small on the sidewalk
        eye = (0.0, float(rng.uniform(-0.8, 0.3)) * road_m, float(rng.uniform(1.2, 2.2)))
        yaw = rng.normal(0.0, 0.06) if rng.random() < 0.65 else rng.uniform(-math.pi, math.pi)
    else:
        eye = (0.0, (road_m + 1.2) * float(rng.choice((-1.0, 1.0))), float(rng.uniform(0.4, 1.7)))
        yaw = rng.uniform(-math.pi, math.pi)
    stage = Stage(build, rng, looks, eye)
    street.add_street(stage, family, road_m)
    if rng.random() < 0.12:
        add_hood(stage.at(*eye, float(yaw)))
    night = rng.random() < 0.08
    light = random_night(rng, eye) if night else random_daylight(rng)
    return Pose(eye, float(yaw), pitch + 0.03, roll), light


def _make_room(build: WorldBuilder, rng: np.random.Generator, looks: Looks, unseen: bool) -> _Made:
    family = _family(rng, room.FAMILIES, room.UNSEEN_FAMILIES, unseen)
    size = room.random_room(rng, family)
    x = size.length * (rng.uniform(0.03, 0.5) if rng.random() < 0.6 else rng.uniform(0.1, 0.9))
    y = size.width * rng.uniform(-0.4, 0.4)
    high = min(1.9, size.height - 0.3)
    eye = (float(x), float(y), float(rng.uniform(0.25 if rng.random() < 0.25 else 0.9, high)))
    # Look into the room more often than at the nearest wall.
    spread = 0.25 if size.length > 3.0 * size.width else 1.0
    yaw = math.atan2(-0.3 * y, 0.6 * size.length - x) + rng.normal(0.0, spread)
    pitch, roll = random_tilt(rng, 12.0, 4.0)
    stage = Stage(build, rng, looks, eye)
    room.add_room(stage, family, size)
    low: Vector = (0.1 * size.length, -0.4 * size.width, 0.6 * size.height)
    top: Vector = (0.9 * size.length, 0.4 * size.width, 0.93 * size.height)
    light = random_lamp(rng, low, top) if rng.random() < 0.85 else random_daylight(rng)
    return Pose(eye, float(yaw), pitch + 0.1, roll), light


def _make_tabletop(
    build: WorldBuilder, rng: np.random.Generator, looks: Looks, unseen: bool
) -> _Made:
    family = _family(rng, tabletop.FAMILIES, tabletop.UNSEEN_FAMILIES, unseen)
    height = float(rng.uniform(*family.height))
    range_m = float(np.exp(rng.uniform(np.log(0.3), np.log(1.3))))
    pitch, yaw = math.radians(rng.uniform(12.0, 80.0)), rng.uniform(-math.pi, math.pi)
    target = (*rng.normal(0.0, 0.15, 2), height + 0.05)
    ahead = (math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), -math.sin(pitch))
    x, y, z = (t - range_m * a for t, a in zip(target, ahead, strict=True))
    eye = (float(x), float(y), float(z))
    stage = Stage(build, rng, looks, eye)
    tabletop.add_tabletop(stage, family, height)
    light = random_lamp(rng, (-1.5, -1.5, height + 0.6), (1.5, 1.5, height + 2.0))
    roll = math.radians(rng.normal(0.0, 6.0))
    return Pose(eye, float(yaw), pitch + rng.normal(0.0, 0.05), roll), light


def _make_terrain(
    build: WorldBuilder, rng: np.random.Generator, looks: Looks, unseen: bool
) -> _Made:
    family = _family(rng, terrain.FAMILIES, terrain.UNSEEN_FAMILIES, unseen)
    waves = terrain.random_waves(rng, family)
    ground_m = terrain.height_of(waves, 0.0, 0.0)
    if rng.random() < 0.6:  # walks or rolls
        above, (pitch, roll) = float(rng.uniform(0.4, 2.2)), random_tilt(rng, 6.0, 3.0)
    else:  # flies
        above = float(np.exp(rng.uniform(np.log(2.5), np.log(60.0))))
        pitch, roll = math.radians(rng.uniform(2.0, 70.0)), math.radians(rng.normal(0.0, 4.0))
    eye = (0.0, 0.0, ground_m + above)
    terrain.add_terrain(Stage(build, rng, looks, eye), family, waves)
    yaw = float(rng.uniform(-math.pi, math.pi))
    return Pose(eye, yaw, pitch + 0.05, roll), random_daylight(rng)


def _make_clutter(
    build: WorldBuilder, rng: np.random.Generator, looks: Looks, unseen: bool
) -> _Made:
    family = _family(rng, clutter.FAMILIES, clutter.UNSEEN_FAMILIES, unseen)
    floor_m = float(np.exp(rng.uniform(np.log(0.3), np.log(5.0))))
    far_m = float(np.exp(rng.uniform(np.log(3.0), np.log(150.0))))
    eye = (0.0, 0.0, floor_m)
    clutter.add_clutter(Stage(build, rng, looks, eye), family, floor_m, far_m)
    pitch, roll = random_tilt(rng, 12.0, 6.0)
    outdoors = rng.random() < 0.5
    corner: Vector = (0.3 * far_m, 0.3 * far_m, floor_m + 0.3 * far_m)
    light = random_daylight(rng) if outdoors else random_lamp(rng, (0.0, 0.0, floor_m), corner)
    return Pose(eye, 0.0, pitch, roll), light


_MAKERS: dict[str, Callable[[WorldBuilder, np.random.Generator, Looks, bool], _Made]] = {
    'street': _make_street,
    'room': _make_room,
    'tabletop': _make_tabletop,
    'terrain': _make_terrain,
    'clutter': _make_clutter,
}
