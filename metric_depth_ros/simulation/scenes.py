# SPDX-License-Identifier: Apache-2.0
"""Scenes that are recorded into bags: worlds with natural materials, each with a robot's path."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.errors import InputError
from metric_depth_ros.simulation.lights import lamplight, sunlight
from metric_depth_ros.simulation.scene import OPTICAL, Scene, camera_of, looking_at
from metric_depth_ros.simulation.sensors.lidar import LidarModel
from metric_depth_ros.simulation.sensors.rgbd import DepthCameraModel
from metric_depth_ros.simulation.things.looks import Looks
from metric_depth_ros.simulation.things.stage import Stage
from metric_depth_ros.simulation.world import Vector, WorldBuilder, rotation
from metric_depth_ros.simulation.worlds import room, street, tabletop

# Two images are made at a time, each in about a kilobyte of memory a pixel.
MAX_PIXELS = 4 * 1024 * 1024
_STREET_FOV_DEG = 81.0  # KITTI's
_SPEED_M_S = 7.0
_ROAD_M = 5.6
_LANE_M = -1.75
_STREET_S = 6.0  # at 62 m a car is parked in the lane
_ROOM_S = 15.0  # then it has crossed a third of the room
_ROOM_CLEAR_M = 0.9  # of furniture, where it starts
_WAY_CLEAR_M = 0.1  # and on its way
_TABLE_S = 4.5  # before the wall that a table often stands at
_ROOM = room.Room(length=5.6, width=4.6, height=2.7)
_TABLE_M = 0.74
_SHARP_RANGE_M = 40.0  # the camera comes near to what is far at first
_TURN_S = 1.0  # in which a robot comes to a stop; it takes as long to full speed the other way


def default_size(name: str) -> tuple[int, int]:
    """Return the (width, height) in pixels that a scene was made for."""
    return (832, 256) if name == 'street' else (640, 480)


def make_scene(name: str, size: tuple[int, int] | None = None, seed: int = 0) -> Scene:
    """Return one of `SCENE_NAMES`.

    Parameters
    ----------
    name
        Name of the scene.
    size
        (width, height) of the image in pixels; default: the scene's own.
    seed
        Seed of all that is random in its world.

    Raises
    ------
    InputError
        There is no such scene, or the image is larger than `MAX_PIXELS`.
    """
    if name not in _MAKERS:
        raise InputError(
            'scene', f'there is no scene {name!r}: choose one of {", ".join(SCENE_NAMES)}.'
        )
    width, height = size or default_size(name)
    if width * height > MAX_PIXELS:
        raise InputError(
            'scene_size',
            f'an image of {width}x{height} has {width * height} pixels, expected at most '
            f'{MAX_PIXELS}: choose a smaller --size (simulate) or --scale (demo).',
        )
    return _MAKERS[name]((width, height), np.random.default_rng(seed))


def _to_and_fro(seconds: float, until_s: float) -> float:
    """Return the place, in seconds from the start, on a path that is walked to and fro.

    Until `until_s` it is the time itself. Then the robot slows down, goes back the same way, and
    turns again before the start; it never goes farther than half of `_TURN_S` beyond.
    """
    if seconds <= until_s:
        return seconds
    end = until_s + _TURN_S
    from_end = abs(end - seconds % (2.0 * end))
    return end - _rounded(from_end) if from_end < 0.5 * end else _rounded(end - from_end)


def _rounded(distance_s: float) -> float:
    """Return how far a robot that slows down keeps from where it would turn at full speed."""
    if distance_s >= _TURN_S:
        return distance_s
    return 0.5 * (_TURN_S + distance_s**2 / _TURN_S)


def _stage(rng: np.random.Generator, eye: Vector) -> Stage:
    build = WorldBuilder()
    return Stage(build, rng, Looks(build, rng), eye, sharp_range_m=_SHARP_RANGE_M)


def _make_street(size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Return a drive down a street: buildings, parked and oncoming cars, trees, poles, people."""
    T_base_camera = OPTICAL.copy()
    T_base_camera[:3, 3] = (1.6, 0.0, 1.6)
    T_base_lidar = np.eye(4)
    T_base_lidar[:3, 3] = (1.3, 0.15, 1.95)
    sway = rng.uniform(0.0, 2.0 * math.pi)

    def base_at(seconds: float) -> NDArray[np.float64]:
        seconds = _to_and_fro(seconds, _STREET_S)
        yaw = 0.015 * math.sin(0.9 * seconds + sway)
        T = np.eye(4)
        T[:3, :3] = rotation(yaw, pitch=0.004 * math.sin(5.0 * seconds))
        T[:3, 3] = (_SPEED_M_S * seconds, _LANE_M + 0.1 * math.sin(0.7 * seconds), 0.0)
        return T

    stage = _stage(rng, (1.6, _LANE_M, 1.6))
    family = street.FAMILIES['urban']._replace(traffic=0.0, trees=0.8)  # a free lane
    street.add_street(stage, family, _ROAD_M)
    street.add_car(stage.at(34.0, 1.9, 0.0, math.pi))
    street.add_car(stage.at(62.0, _LANE_M))
    azimuth = math.pi - rng.uniform(0.6, 1.2) * rng.choice((-1.0, 1.0))
    return Scene(
        world=stage.build.build(sunlight(azimuth, rng.uniform(0.55, 0.75))),
        camera=camera_of(*size, _STREET_FOV_DEG),
        T_base_camera=T_base_camera,
        base_at=base_at,
        lidar=LidarModel(),
        T_base_lidar=T_base_lidar,
        max_truth_m=120.0,
    )


def _make_indoor(size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Return a look around a furnished room."""

    def base_at(seconds: float) -> NDArray[np.float64]:
        seconds = _to_and_fro(seconds, _ROOM_S)
        turn = 0.35 * math.sin(0.35 * seconds)
        eye = np.array(eye_at(seconds))
        return looking_at(eye, eye + (math.cos(turn), math.sin(turn), -0.2))

    def eye_at(seconds: float) -> Vector:
        return 0.5 + 0.12 * seconds, 0.7 * math.sin(0.3 * seconds), 1.25

    start = (0.9, 0.2, 1.25)
    way = [eye_at(seconds) for seconds in np.arange(0.0, _ROOM_S + _TURN_S)]
    free = room.around([start, *way], [_ROOM_CLEAR_M, *[_WAY_CLEAR_M] * len(way)])
    stage = _stage(rng, start)
    room.add_room(stage, room.FAMILIES['living'], _ROOM, free)
    lamp = (2.2 + rng.uniform(-0.3, 0.3), rng.uniform(-0.4, 0.4), _ROOM.height - 0.35)
    return Scene(
        world=stage.build.build(lamplight(lamp)),
        camera=camera_of(*size, 70.0),
        T_base_camera=OPTICAL.copy(),
        base_at=base_at,
        depth_camera=DepthCameraModel(),
        max_truth_m=20.0,
    )


def _make_tabletop(size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Return a camera that moves around a table with thin, round and shiny things on it."""
    start = rng.uniform(-0.5, -0.2)

    def base_at(seconds: float) -> NDArray[np.float64]:
        seconds = _to_and_fro(seconds, _TABLE_S)
        around = start + 0.16 * seconds
        radius = 0.95 - 0.02 * seconds
        eye = np.array([-radius * math.cos(around), radius * math.sin(around), 1.2])
        return looking_at(eye, np.array([0.05, 0.0, _TABLE_M + 0.05]))

    stage = _stage(rng, (-0.9, 0.0, 1.2))
    family = tabletop.FAMILIES['table']._replace(things=(14, 22), wall=1.0)
    tabletop.add_tabletop(stage, family, _TABLE_M)
    return Scene(
        world=stage.build.build(lamplight((-0.5, 0.9, 2.2), (1.35, 1.25, 1.1))),
        camera=camera_of(*size, 62.0),
        T_base_camera=OPTICAL.copy(),
        base_at=base_at,
        depth_camera=DepthCameraModel(),
        max_truth_m=10.0,
    )


_MAKERS: dict[str, Callable[[tuple[int, int], np.random.Generator], Scene]] = {
    'street': _make_street,
    'indoor': _make_indoor,
    'tabletop': _make_tabletop,
}
SCENE_NAMES = tuple(_MAKERS)
