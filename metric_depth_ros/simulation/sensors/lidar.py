# SPDX-License-Identifier: Apache-2.0
"""A spinning LiDAR: lines at fixed elevations, range noise, drop-outs. torch only.

Its place beside the camera is real: it sees past edges that the camera does not, and its cloud
therefore holds the parallax ghosts of a real one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metric_depth_ros.simulation.raycast import cast
from metric_depth_ros.simulation.world import World


@dataclass(frozen=True)
class LidarModel:
    """A spinning LiDAR.

    Parameters
    ----------
    lines
        Number of laser lines, evenly spread over the elevations.
    lowest_deg, highest_deg
        Elevations of the last and the first line.
    columns
        Shots of a line in one turn.
    range_noise_m
        One standard deviation of the range.
    dropout
        Share of returns that get lost at normal incidence; grazing and far ones are lost more
        often.
    max_range_m
        No return beyond this range.
    """

    lines: int = 32
    lowest_deg: float = -24.0
    highest_deg: float = 8.0
    columns: int = 1440
    range_noise_m: float = 0.02
    dropout: float = 0.03
    max_range_m: float = 100.0


def lidar_rays(model: LidarModel) -> tuple[Tensor, Tensor]:
    """Return unit directions (R, 3) in the sensor frame (x forward, z up) and line numbers (R,).

    Line 0 is the topmost, as in the clouds of KITTI. All lines shoot, then the head turns on.
    """
    elevation = torch.deg2rad(torch.linspace(model.highest_deg, model.lowest_deg, model.lines))
    azimuth = torch.arange(model.columns) * (2.0 * math.pi / model.columns)
    azimuth, elevation = torch.meshgrid(azimuth, elevation, indexing='ij')
    directions = torch.stack(
        (elevation.cos() * azimuth.cos(), elevation.cos() * azimuth.sin(), elevation.sin()), -1
    )
    ring = torch.arange(model.lines).expand(model.columns, model.lines)
    return directions.reshape(-1, 3), ring.reshape(-1)


def scan(
    world: World, model: LidarModel, T_world_lidar: Tensor, generator: torch.Generator
) -> list[dict[str, NDArray]]:
    """Take one turn in each of the worlds, all at one instant.

    Parameters
    ----------
    world
        B worlds.
    model
        The sensor.
    T_world_lidar
        (B, 4, 4) float32 places of the sensor frame.
    generator
        Source of the noise, on the CPU.

    Returns
    -------
    list[dict]
        For each world the returns' ``x, y, z`` float32 meters in the sensor frame, ``intensity``
        float32 in [0, 1] and ``ring`` uint16, all (N,).
    """
    rays, ring = (t.to(world.device) for t in lidar_rays(model))
    directions = rays @ T_world_lidar[:, :3, :3].transpose(-1, -2)
    origins = T_world_lidar[:, None, :3, 3].expand_as(directions)
    hits = cast(world, origins, directions)
    incidence = (directions * hits.normal).sum(-1).abs()
    noise = torch.randn(hits.distance.shape, generator=generator).to(world.device)
    chance = torch.rand(hits.distance.shape, generator=generator).to(world.device)
    reach = hits.distance / model.max_range_m
    # Little light comes back from far away and from surfaces seen at a grazing angle.
    lost = model.dropout + 0.5 * (1.0 - incidence / 0.15).clamp(min=0.0) + 0.3 * reach**4
    returned = hits.found & (reach < 1.0) & (chance > lost)
    distance = hits.distance + model.range_noise_m * noise
    intensity = incidence * (1.0 - 0.7 * reach.clamp(0.0, 1.0))
    clouds = []
    for i in range(len(directions)):
        kept = returned[i]
        points = rays[kept] * distance[i, kept][:, None]
        cloud = {axis: points[:, j].cpu().numpy() for j, axis in enumerate('xyz')}
        cloud['intensity'] = intensity[i, kept].cpu().numpy()
        cloud['ring'] = ring[kept].cpu().numpy().astype(np.uint16)
        clouds.append(cloud)
    return clouds
