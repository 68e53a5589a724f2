# SPDX-License-Identifier: Apache-2.0
"""Random views: a world, a camera that stands free in it and sees something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.simulation.camera import camera_rays
from metric_depth_ros.simulation.photography import CameraNoise, random_noise
from metric_depth_ros.simulation.raycast import cast, narrowed
from metric_depth_ros.simulation.things.looks import PATTERNS, UNSEEN_PATTERNS, Looks
from metric_depth_ros.simulation.world import World, WorldBuilder
from metric_depth_ros.simulation.worlds import clutter, room, street, tabletop, terrain
from metric_depth_ros.simulation.worlds.cameras import random_camera
from metric_depth_ros.simulation.worlds.canvas import Canvas, Composition

_COMPOSERS: dict[str, Callable[[Canvas], Composition]] = {
    'street': street.compose,
    'room': room.compose,
    'tabletop': tabletop.compose,
    'terrain': terrain.compose,
    'clutter': clutter.compose,
}
KINDS = tuple(_COMPOSERS)
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


def random_view(
    rng: np.random.Generator,
    size: tuple[int, int] | None = None,
    kind: str | None = None,
    split: str = 'train',
    whole: bool = False,
) -> ViewSpec:
    """Return a view that nobody has seen.

    Parameters
    ----------
    rng
        All chance comes from here.
    size
        (width, height) in pixels; default: drawn, of 49,152 to 76,800 pixels, or of 20,480 to
        27,648 when `whole`.
    kind
        One of `KINDS`; default: drawn.
    split
        'train', or 'validation' for families of worlds and patterns that training never sees.
    whole
        The whole image of a camera, never a window of a finer one.
    """
    kind = kind or str(rng.choice(KINDS, p=_SHARES))
    unseen = split == 'validation'
    for attempt in range(_ATTEMPTS):
        camera = random_camera(rng, size, wide=kind == 'street', whole=whole)
        build = WorldBuilder()
        freedom = float(rng.choice((0.0, 0.15, 0.5, 1.0), p=(0.2, 0.35, 0.3, 0.15)))
        looks = Looks(build, rng, freedom, UNSEEN_PATTERNS if unseen else PATTERNS)
        pose, light = _COMPOSERS[kind](Canvas(build, rng, looks, unseen))
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
