# SPDX-License-Identifier: Apache-2.0
"""The random LiDARs and radars that a random robot carries beside its camera.

May import the sensor models of this package. Only rays that can fall into the image are cast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.prompting.lidar import prompt_from_cloud
from metric_depth_ros.prompting.radar import prompt_from_radar
from metric_depth_ros.simulation.relief import ground_height
from metric_depth_ros.simulation.scene import OPTICAL
from metric_depth_ros.simulation.sensors.echoes import EchoModel
from metric_depth_ros.simulation.sensors.lidar import (
    Beams,
    LidarModel,
    measure_points,
    raster_beams,
    rosette_beams,
    spinning_beams,
)
from metric_depth_ros.simulation.sensors.mounting import draw_mounting
from metric_depth_ros.simulation.sensors.radar import RadarModel, detect
from metric_depth_ros.simulation.sensors.shots import shoot
from metric_depth_ros.simulation.world import World
from metric_depth_ros.types import SparsePrompt

# Chance that a robot in a world of some kind carries the sensor.
_CARRIES = {
    'lidar': {'street': 1.0, 'terrain': 0.9, 'clutter': 0.7, 'room': 0.6, 'tabletop': 0.2},
    'solid_state': {'street': 0.4, 'terrain': 0.4, 'clutter': 0.4, 'room': 0.4, 'tabletop': 0.2},
    'radar': {'street': 1.0, 'terrain': 0.7, 'clutter': 0.4, 'room': 0.15, 'tabletop': 0.0},
}
# A camera of 256 pixels sees few lines between its rows: 4 lines there are 16 at full size.
_LINES = (4, 8, 16, 32, 64, 128)
_LINES_SHARE = (0.08, 0.2, 0.27, 0.22, 0.15, 0.08)
_MOST_SHOTS = 5000
_LONGEST_M = 2.0  # from the camera to a LiDAR
_LONGEST_RELATIVE = 0.15
_CLEARANCE = 0.7  # of the way to what stands beside the camera


@dataclass(frozen=True, eq=False)
class Site:
    """Where a rig stands.

    Parameters
    ----------
    world
        One world (a batch of one).
    kind
        Kind of the world.
    camera, T_world_camera
        The camera and its (4, 4) place.
    typical_m
        Median depth of what the camera sees: small things are looked at with small rigs.
    """

    world: World
    kind: str
    camera: CameraModel
    T_world_camera: Transform
    typical_m: float


def measure_with_rig(site: Site, rng: np.random.Generator) -> dict[str, SparsePrompt]:
    """Return what the sensors of a random rig see in the image, by name."""
    sensors = {}
    for name, measure in (
        ('lidar', _spinning),
        ('solid_state', _solid_state),
        ('radar', _radar),
    ):
        own_rng = rng.spawn(1)[0]
        if own_rng.random() < _CARRIES[name][site.kind]:
            sensors[name] = measure(site, own_rng)
    return sensors


def _spinning(site: Site, rng: np.random.Generator) -> SparsePrompt:
    highest, span = rng.uniform(2.0, 20.0), rng.uniform(25.0, 42.0)
    pixel_deg = math.degrees(1.0 / site.camera.K[0, 0])
    columns = 360.0 / (pixel_deg * math.exp(rng.uniform(math.log(0.9), math.log(7.0))))
    model = LidarModel(
        lines=int(rng.choice(_LINES, p=_LINES_SHARE)),
        lowest_deg=highest - span,
        highest_deg=highest,
        columns=int(np.clip(columns, 360, 4000)),
        echoes=_draw_echoes(rng, site.kind),
    )
    beams = spinning_beams(model, min(0.6 * site.camera.fov_x_deg + 10.0, 180.0))
    return _lidar_prompt(site, beams, model.echoes, rng)


def _solid_state(site: Site, rng: np.random.Generator) -> SparsePrompt:
    count = int(math.exp(rng.uniform(math.log(600.0), math.log(6000.0))))
    width_deg = rng.uniform(35.0, 80.0)
    if rng.random() < 0.5:
        turns = count / rng.uniform(20.0, 120.0)
        beams = rosette_beams(width_deg, count, turns, rng.uniform(0.0, 2.0 * math.pi))
    else:
        height_deg = rng.uniform(0.3, 0.8) * width_deg
        lines = max(4, round(math.sqrt(count * rng.uniform(0.1, 1.0))))
        beams = raster_beams(width_deg, height_deg, lines, max(8, count // lines))
    echoes = _draw_echoes(rng, site.kind)
    return _lidar_prompt(site, beams, echoes, rng)


def _lidar_prompt(
    site: Site, beams: Beams, echoes: EchoModel, rng: np.random.Generator
) -> SparsePrompt:
    offset = _clear(site, _draw_offset(rng, site.typical_m))
    mounting = draw_mounting(site.T_world_camera, offset, rng)
    beams = _at_most(beams.where(mounting.in_view(beams.directions, site.camera)), _MOST_SHOTS)
    if not len(beams.ring):
        return SparsePrompt.empty()
    points, _ = measure_points(site.world, mounting.T_world_sensor, beams, echoes, rng)
    T = mounting.T_camera_sensor
    return prompt_from_cloud(site.camera, points, T, remove_occluded=False)


def _radar(site: Site, rng: np.random.Generator) -> SparsePrompt:
    model = RadarModel(
        returns=int(rng.integers(30, 121)),
        azimuth_noise_deg=rng.uniform(0.3, 1.5),
        range_noise_m=rng.uniform(0.1, 0.4),
        max_range_m=rng.uniform(80.0, 250.0) if site.kind != 'room' else rng.uniform(8.0, 30.0),
        clutter=rng.uniform(0.02, 0.25),
        ghosts=rng.uniform(0.0, 0.1),
    )
    drop = _height_above_ground(site) - rng.uniform(0.3, 0.9)
    offset = np.array((rng.uniform(0.0, 1.5), rng.uniform(-0.4, 0.4), -np.clip(drop, -0.5, 1.5)))
    mounting = draw_mounting(site.T_world_camera, _clear(site, offset), rng)
    half_width = 0.5 * site.camera.fov_x_deg + 2.0
    points = detect(site.world, mounting.T_world_sensor, model, half_width, rng)
    return prompt_from_radar(site.camera, points, mounting.T_camera_sensor)


def _draw_offset(rng: np.random.Generator, typical_m: float) -> NDArray[np.float64]:
    """Return meters forward, left and up: on the roof behind the camera, or close beside it."""
    toward = rng.normal((-0.5, 0.0, 0.5), (0.4, 0.5, 0.4))
    longest = min(_LONGEST_M, _LONGEST_RELATIVE * typical_m)
    length = longest * math.exp(rng.uniform(math.log(0.08), 0.0))
    return toward / np.linalg.norm(toward) * length


def _clear(site: Site, offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shorten an offset, so that the sensor sits in or behind no wall."""
    length = float(np.linalg.norm(offset))
    along = (OPTICAL[:3, :3].T @ offset / length)[None].astype(np.float32)
    free_m = float(shoot(site.world, site.T_world_camera, along).range_m[0])
    return offset * min(1.0, _CLEARANCE * free_m / length)


def _draw_echoes(rng: np.random.Generator, kind: str) -> EchoModel:
    outdoors = kind in ('street', 'terrain', 'clutter')
    return EchoModel(
        range_noise_m=math.exp(rng.uniform(math.log(0.003), math.log(0.05))),
        dropout=rng.uniform(0.0, 0.1),
        max_range_m=rng.uniform(60.0, 250.0) if outdoors else rng.uniform(12.0, 60.0),
        divergence_deg=rng.uniform(0.05, 0.25),
    )


def _at_most(beams: Beams, count: int) -> Beams:
    """Thin out whole columns of shots, evenly."""
    if len(beams.ring) <= count:
        return beams
    stride = math.ceil(len(beams.ring) / count)
    starts = np.cumsum(np.append(False, np.diff(beams.ring) <= 0))
    return beams.where(starts % stride == 0)


def _height_above_ground(site: Site) -> float:
    x, y, z = (float(c) for c in site.T_world_camera[:3, 3])
    here = (torch.tensor([[c]], device=site.world.device) for c in (x, y))
    return z - float(ground_height(site.world.ground, *here))
