# SPDX-License-Identifier: Apache-2.0
"""A spinning LiDAR that is carried along while its head turns.

Every column is shot from where the sensor is at that moment, as a real one does; the points are
in the sensor frame of their own time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.simulation.sensors.echoes import receive
from metric_depth_ros.simulation.sensors.lidar import LidarModel, spinning_beams
from metric_depth_ros.simulation.sensors.shots import Shots, follow
from metric_depth_ros.simulation.world import World


def sweep(
    world: World,
    model: LidarModel,
    T_world_lidar_at: Callable[[float], Transform],
    start_s: float,
    period_s: float,
    rng: np.random.Generator,
) -> dict[str, NDArray]:
    """Take one turn of a LiDAR that moves.

    Parameters
    ----------
    world
        One world (a batch of one).
    model
        The sensor.
    T_world_lidar_at
        Place (4, 4) of the sensor frame by time in seconds.
    start_s, period_s
        When the turn begins, and how long it takes.
    rng
        Source of the noise.

    Returns
    -------
    dict
        The returns' ``x, y, z`` float32 meters in the sensor frame of their own time, ``time``
        float32 seconds since the start, and ``ring`` uint16, all (N,).
    """
    beams = spinning_beams(model)
    column = np.arange(len(beams.ring)) // model.lines
    time_s = np.arange(column[-1] + 1) * (period_s / model.columns)
    places = np.stack([T_world_lidar_at(start_s + t) for t in time_s])[column]
    shots = _shoot_while_moving(world, places, beams.directions)
    measured = receive(shots, beams.directions, beams.ring, model.echoes, rng)
    returned = np.isfinite(measured)
    points = beams.directions[returned] * measured[returned, None]
    cloud: dict[str, NDArray] = {axis: points[:, i] for i, axis in enumerate('xyz')}
    cloud['time'] = time_s[column[returned]].astype(np.float32)
    cloud['ring'] = beams.ring[returned].astype(np.uint16)
    return cloud


def _shoot_while_moving(
    world: World, T_world_sensor: NDArray[np.float64], directions: NDArray[np.float32]
) -> Shots:
    """Follow rays from a sensor that is elsewhere at each of them.

    Parameters
    ----------
    world
        One world (a batch of one), on any device.
    T_world_sensor
        (R, 4, 4) place of the sensor at each ray.
    directions
        (R, 3) unit vectors in the sensor frame at that ray.
    """
    places = torch.from_numpy(T_world_sensor[:, :3].astype(np.float32)).to(world.device)
    along = (places[..., :3] @ torch.from_numpy(directions).to(world.device)[..., None])[..., 0]
    return follow(world, places[..., 3], along, 0.0)
