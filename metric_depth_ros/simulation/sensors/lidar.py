# SPDX-License-Identifier: Apache-2.0
"""LiDARs: spinning heads with lines at fixed elevations, and solid-state ones.

May import the rays and echoes of this package. A LiDAR's place beside the camera is real: it
sees past edges that the camera does not, and its cloud therefore holds the parallax ghosts of a
real one. Sensor frame: x forward, y left, z up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.simulation.sensors.echoes import EchoModel, receive
from metric_depth_ros.simulation.sensors.shots import shoot
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
    echoes
        Its lasers and receivers.
    """

    lines: int = 32
    lowest_deg: float = -24.0
    highest_deg: float = 8.0
    columns: int = 1440
    echoes: EchoModel = field(default_factory=EchoModel)


@dataclass(frozen=True, eq=False)
class Beams:
    """Rays of a LiDAR in the order in which it shoots them.

    Parameters
    ----------
    directions
        (R, 3) float32 unit vectors in the sensor frame.
    ring
        (R,) int64 number of the laser.
    """

    directions: NDArray[np.float32]
    ring: NDArray[np.int64]

    def where(self, kept: NDArray[np.bool_]) -> Beams:
        """Return some of the beams."""
        return Beams(self.directions[kept], self.ring[kept])


def spinning_beams(model: LidarModel, half_width_deg: float = 180.0) -> Beams:
    """Return the beams of one turn, or of the sector within `half_width_deg` of straight ahead.

    Line 0 is the topmost, as in the clouds of KITTI. All lines shoot, then the head turns on.
    """
    elevation = np.radians(np.linspace(model.highest_deg, model.lowest_deg, model.lines))
    azimuth = np.arange(model.columns) * (2.0 * math.pi / model.columns)
    azimuth = (azimuth + math.pi) % (2.0 * math.pi) - math.pi
    azimuth = azimuth[np.abs(azimuth) <= math.radians(half_width_deg)]
    ring = np.tile(np.arange(model.lines), len(azimuth))
    return Beams(unit_vectors(np.repeat(azimuth, model.lines), elevation[ring]), ring)


def rosette_beams(width_deg: float, count: int, turns: float, phase: float) -> Beams:
    """Return the beams of a solid-state LiDAR with two turning prisms: a rosette.

    Parameters
    ----------
    width_deg
        Diameter of its round field of view.
    count
        Shots of one frame.
    turns
        Turns of the first prism in one frame; the second turns the other way, 0.618 as fast, so
        that the pattern does not repeat.
    phase
        Where the prisms stand at first, in radians.
    """
    time = np.linspace(0.0, 2.0 * math.pi * turns, count)
    first, second = np.exp(1j * (time + phase)), np.exp(-0.618j * time)
    spot = 0.25 * math.radians(width_deg) * (first + second)
    return Beams(unit_vectors(spot.real, spot.imag), np.zeros(count, np.int64))


def raster_beams(width_deg: float, height_deg: float, lines: int, columns: int) -> Beams:
    """Return the beams of a solid-state LiDAR with a swinging mirror: a zigzag of lines.

    Parameters
    ----------
    width_deg, height_deg
        Field of view.
    lines, columns
        Swings of one frame, and shots of each.
    """
    swing = np.linspace(-1.0, 1.0, columns)
    azimuth = np.radians(0.5 * width_deg) * np.sin(0.5 * math.pi * swing)
    elevation = np.radians(0.5 * height_deg) * np.linspace(1.0, -1.0, lines)[:, None]
    slope = np.radians(height_deg / lines) * 0.5 * swing
    fall = elevation + slope * np.where(np.arange(lines) % 2, 1.0, -1.0)[:, None]
    ring = np.repeat(np.arange(lines), columns)
    return Beams(unit_vectors(np.tile(azimuth, lines), fall.reshape(-1)), ring)


def unit_vectors(
    azimuth: NDArray[np.floating], elevation: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Return (R, 3) directions from angles in radians; azimuth counts toward the left."""
    flat = np.cos(elevation)
    return np.stack(
        (flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)), -1
    ).astype(np.float32)


def measure_points(
    world: World,
    T_world_lidar: Transform,
    beams: Beams,
    model: EchoModel,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (R, 3) points in the sensor frame, NaN without an echo, and (R,) intensities."""
    shots = shoot(world, T_world_lidar, beams.directions)
    measured = receive(shots, beams.directions, beams.ring, model, rng)
    reach = np.clip(measured / model.max_range_m, 0.0, 1.0)
    intensity = shots.incidence * (0.2 + 0.8 * shots.brightness) * (1.0 - 0.7 * reach)
    return beams.directions * measured[:, None], intensity.astype(np.float32)


def scan(
    world: World, model: LidarModel, T_world_lidar: Transform, rng: np.random.Generator
) -> dict[str, NDArray]:
    """Take one turn at one instant.

    Parameters
    ----------
    world
        One world (a batch of one).
    model
        The sensor.
    T_world_lidar
        (4, 4) place of the sensor frame.
    rng
        Source of the noise.

    Returns
    -------
    dict
        The returns' ``x, y, z`` float32 meters in the sensor frame, ``intensity`` float32 in
        [0, 1] and ``ring`` uint16, all (N,).
    """
    beams = spinning_beams(model)
    points, intensity = measure_points(world, T_world_lidar, beams, model.echoes, rng)
    returned = np.isfinite(points[:, 0])
    cloud: dict[str, NDArray] = {axis: points[returned, i] for i, axis in enumerate('xyz')}
    cloud['intensity'] = intensity[returned]
    cloud['ring'] = beams.ring[returned].astype(np.uint16)
    return cloud
