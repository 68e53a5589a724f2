# SPDX-License-Identifier: Apache-2.0
"""An automotive radar: few returns, no height, ghosts, clutter behind objects.

May import the rays of this package. The radar measures range and azimuth; it is told that all
returns lie in the plane that it is mounted in, as 3+1D automotive radars report them. Sensor
frame: x forward, y left, z up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.simulation.sensors.lidar import unit_vectors
from metric_depth_ros.simulation.sensors.shots import Shots, shoot
from metric_depth_ros.simulation.world import World

_TYPICAL_M = 20.0
_EAGERNESS = 3.0  # about one return of each cell that a plain wall at that range fills
_FLAT = 0.85  # levelness from which a surface is ground, which sends the wave on


@dataclass(frozen=True)
class RadarModel:
    """A radar.

    Parameters
    ----------
    returns
        Most points that it reports.
    range_noise_m, azimuth_noise_deg
        One standard deviation each.
    max_range_m
        Range.
    half_height_deg
        It looks this far up and down, without telling the two apart.
    clutter
        Share of the returns that belong to nothing.
    ghosts
        Share of the returns that went back and forth twice.
    """

    returns: int = 80
    range_noise_m: float = 0.2
    azimuth_noise_deg: float = 1.0
    max_range_m: float = 150.0
    half_height_deg: float = 7.0
    clutter: float = 0.15
    ghosts: float = 0.05


def detect(
    world: World,
    T_world_radar: Transform,
    model: RadarModel,
    half_width_deg: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return (N, 3) points in the sensor frame, all with z = 0; N is at most ``model.returns``.

    An empty field answers less often than that.

    Parameters
    ----------
    world
        One world (a batch of one).
    T_world_radar
        (4, 4) place of the sensor.
    model
        The sensor.
    half_width_deg
        Only returns within this azimuth of straight ahead are of interest.
    rng
        Source of all faults.
    """
    azimuth, range_m, strength = _echoes(world, T_world_radar, model, half_width_deg, rng)
    of_nothing = min(rng.binomial(model.returns, model.clutter), model.returns)
    most = min(int((strength > 0.0).sum()), math.ceil(_EAGERNESS * strength.sum()))
    count = min(model.returns - of_nothing, most)
    if count:
        chosen = rng.choice(len(strength), count, replace=False, p=strength / strength.sum())
        azimuth, range_m = azimuth[chosen], range_m[chosen]
        twice = rng.random(count) < model.ghosts
        range_m = np.where(twice & (2.0 * range_m < model.max_range_m), 2.0 * range_m, range_m)
    else:
        azimuth = range_m = np.empty(0)
    width = np.radians(half_width_deg)
    azimuth = np.append(azimuth, rng.uniform(-width, width, of_nothing))
    range_m = np.append(range_m, rng.uniform(2.0, model.max_range_m, of_nothing))
    azimuth = azimuth + np.radians(model.azimuth_noise_deg) * rng.standard_normal(len(azimuth))
    range_m = range_m + model.range_noise_m * rng.standard_normal(len(range_m))
    return (
        unit_vectors(azimuth, np.zeros_like(azimuth))
        * np.maximum(range_m, 0.1).astype(np.float32)[:, None]
    )


def _echoes(
    world: World,
    T_world_radar: Transform,
    model: RadarModel,
    half_width_deg: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """Return azimuth, range and strength of all that the wave meets, first and second surfaces."""
    step = np.arange(-half_width_deg, half_width_deg, max(0.5, half_width_deg / 90.0))
    rise = np.linspace(-model.half_height_deg, model.half_height_deg, 6)
    azimuth = np.radians(np.repeat(step, len(rise)))
    elevation = np.radians(np.tile(rise, len(step)))
    directions = unit_vectors(azimuth, elevation)
    first = shoot(world, T_world_radar, directions)
    # Waves creep under cars and through leaves: what is behind answers too.
    behind = np.flatnonzero(first.range_m < 0.7 * model.max_range_m)
    start = first.range_m[behind] + rng.uniform(1.0, 8.0, len(behind)).astype(np.float32)
    second = shoot(world, T_world_radar, directions[behind], start)
    azimuth = np.append(azimuth, azimuth[behind])
    range_m = np.append(first.range_m, second.range_m)
    strength = np.append(_strength(first, model), 0.3 * _strength(second, model))
    one_a_cell = _cells(azimuth, range_m, strength)
    return azimuth[one_a_cell], range_m[one_a_cell], strength[one_a_cell]


def _cells(
    azimuth: NDArray[np.floating], range_m: NDArray[np.floating], strength: NDArray[np.floating]
) -> NDArray[np.intp]:
    """Return the strongest echo of each cell that the radar can tell from others."""
    order = np.argsort(-strength, kind='stable')
    order = order[strength[order] > 0.0]
    cell = np.stack((np.degrees(azimuth[order]), range_m[order])).round()
    _, first = np.unique(cell, axis=1, return_index=True)
    return order[first]


def _strength(shots: Shots, model: RadarModel) -> NDArray[np.float64]:
    """Return relative chances to be reported.

    The sensitivity rises with range, and far objects cross fewer rays of ours: both even out.
    """
    metal = 0.25 + shots.gloss
    ground = np.where(shots.levelness > _FLAT, 0.04, 1.0)
    seen = np.isfinite(shots.range_m) & (shots.range_m < model.max_range_m)
    far = np.where(seen, shots.range_m, 0.0) / _TYPICAL_M
    return np.where(seen, metal * ground * far * (0.2 + shots.incidence**2), 0.0).astype(
        np.float64
    )
