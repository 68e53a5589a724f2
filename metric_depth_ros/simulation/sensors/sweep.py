# SPDX-License-Identifier: Apache-2.0
"""A spinning LiDAR that is carried along while its head turns.

May import the LiDAR and the rays of this package. Every column is shot from where the sensor is
at that moment, as a real one does; the points are in the sensor frame of their own time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.simulation.sensors.echoes import receive
from metric_depth_ros.simulation.sensors.lidar import LidarModel, spinning_beams
from metric_depth_ros.simulation.sensors.shots import shoot_while_moving
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
    shots = shoot_while_moving(world, places, beams.directions)
    measured = receive(shots, beams.directions, beams.ring, model.echoes, rng)
    returned = np.isfinite(measured)
    points = beams.directions[returned] * measured[returned, None]
    cloud: dict[str, NDArray] = {axis: points[:, i] for i, axis in enumerate('xyz')}
    cloud['time'] = time_s[column[returned]].astype(np.float32)
    cloud['ring'] = beams.ring[returned].astype(np.uint16)
    return cloud
