# SPDX-License-Identifier: Apache-2.0
"""Rays of one sensor into one world, and what an active sensor would get back from them.

May import the ray caster. Tensors end here: what follows is NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.simulation.raycast import Hits, cast
from metric_depth_ros.simulation.world import World

_TILE_RAD = 0.25
_TILES_A_COLUMN = 16
_LUMINANCE = (0.21, 0.72, 0.07)


@dataclass(frozen=True, eq=False)
class Shots:
    """Where the rays of a sensor end, (R,) float32 each.

    Parameters
    ----------
    range_m
        Meters along the ray; +Inf where it meets nothing.
    incidence
        Cosine of the angle between the ray and the normal of the surface, 0 to 1.
    levelness
        Vertical part of the surface's normal, 0 (a wall) to 1 (a floor).
    brightness
        Diffuse reflectivity, 0 to 1.
    gloss
        Strength of the mirror-like part, 0 to 1.
    """

    range_m: NDArray[np.float32]
    incidence: NDArray[np.float32]
    levelness: NDArray[np.float32]
    brightness: NDArray[np.float32]
    gloss: NDArray[np.float32]


def shoot(
    world: World,
    T_world_sensor: Transform,
    directions: NDArray[np.float32],
    start_m: NDArray[np.float32] | float = 0.0,
) -> Shots:
    """Follow rays from a sensor.

    Parameters
    ----------
    world
        One world (a batch of one), on any device.
    T_world_sensor
        (4, 4) place of the sensor.
    directions
        (R, 3) unit vectors in the sensor frame.
    start_m
        (R,) or one: the rays see nothing nearer than this.
    """
    place = torch.from_numpy(T_world_sensor[:3].astype(np.float32)).to(world.device)
    along = torch.from_numpy(directions).to(world.device) @ place[:, :3].T
    return follow(world, place[:, 3], along, start_m)


def follow(
    world: World, origins: Tensor, along: Tensor, start_m: NDArray[np.float32] | float
) -> Shots:
    """Follow rays of the world, from one place or from as many.

    Parameters
    ----------
    world
        One world (a batch of one).
    origins
        (3,) or (R, 3) meters, on its device.
    along
        (R, 3) unit vectors.
    start_m
        As of `shoot`.
    """
    start = torch.as_tensor(start_m, dtype=torch.float32, device=world.device).expand(len(along))
    order = _tile_order(along)
    origins = (origins + along * start[:, None])[order]
    hits = cast(world, origins[None], along[order][None])
    back = order.argsort()
    normal = hits.normal[0, back]
    return Shots(
        _array(start + hits.distance[0, back]),
        _array((along * normal).sum(-1).abs()),
        _array(normal[:, 2].abs()),
        _array(_brightness(world, hits)[back]),
        gloss_of(world, hits)[back.cpu().numpy()],
    )


def _tile_order(along: Tensor) -> Tensor:
    """Return an order in which rays that follow each other are a narrow bundle."""
    column = (torch.atan2(along[:, 1], along[:, 0]) / _TILE_RAD).floor()
    row = (along[:, 2] / _TILE_RAD).floor()
    return (column * _TILES_A_COLUMN + row).argsort(stable=True)


def gloss_of(world: World, hits: Hits) -> NDArray[np.float32]:
    """Return the (R,) gloss of what the rays of one world meet."""
    return _array(world.materials.gloss[0, hits.material[0].clamp(min=0)])


def _brightness(world: World, hits: Hits) -> Tensor:
    """Return the (R,) mean brightness of materials; their patterns are too fine for a beam."""
    materials = world.materials
    row = hits.material[0].clamp(min=0)
    color = 0.5 * (materials.color[0, row] + materials.second_color[0, row])
    return color @ color.new_tensor(_LUMINANCE)


def _array(values: Tensor) -> NDArray[np.float32]:
    return values.cpu().numpy()
