# SPDX-License-Identifier: Apache-2.0
"""Sensors beside cameras."""

import numpy as np
import pytest

from metric_depth_ros.geometry.rigid import checked_rigid, inverse
from metric_depth_ros.simulation.scene import OPTICAL, camera_of
from metric_depth_ros.simulation.sensors.mounting import draw_mounting

OFFSET = np.array((-0.4, 0.1, 0.6))


def mountings(T_world_camera=OPTICAL, count=200):
    rng = np.random.default_rng(0)
    return [draw_mounting(T_world_camera, OFFSET, rng) for _ in range(count)]


def error_of(mounting, T_world_camera=OPTICAL):
    """Return what separates the said place from the true one: meters and degrees."""
    T = inverse(T_world_camera @ mounting.T_camera_sensor) @ mounting.T_world_sensor
    angle = np.degrees(np.arccos(np.clip((np.trace(T[:3, :3]) - 1.0) / 2.0, -1.0, 1.0)))
    return np.linalg.norm(T[:3, 3]), angle


def test_mountings_are_rigid():
    for mounting in mountings(count=20):
        checked_rigid(mounting.T_camera_sensor, 'camera')
        checked_rigid(mounting.T_world_sensor, 'world')


def test_the_sensor_sits_at_its_offset():
    place = np.median([m.T_world_sensor[:3, 3] for m in mountings()], axis=0)
    np.testing.assert_allclose(place, OFFSET, atol=0.02)


def test_some_sensors_are_calibrated_perfectly_and_some_are_not():
    meters, degrees = np.array([error_of(m) for m in mountings()]).T
    assert 0.2 < np.mean(meters < 1e-6) < 0.6
    assert meters.max() < 2.5
    assert 0.3 < degrees.max() < 3.0


def test_a_sensor_of_a_vehicle_is_level_though_its_camera_is_not():
    pitched = np.eye(4)
    pitched[:3, :3] = [[np.cos(0.2), 0, np.sin(0.2)], [0, 1, 0], [-np.sin(0.2), 0, np.cos(0.2)]]
    up = np.mean([m.T_world_sensor[:3, 2] for m in mountings(pitched @ OPTICAL)], axis=0)
    assert up[2] == pytest.approx(1.0, abs=0.01)


def test_only_rays_into_the_image_are_in_view():
    camera = camera_of(64, 48, 60.0)
    ahead, behind, aside = np.eye(3)[0], -np.eye(3)[0], np.eye(3)[1]
    directions = np.stack((ahead, behind, aside)).astype(np.float32)
    seen = mountings(count=1)[0].in_view(directions, camera)
    assert seen.tolist() == [True, False, False]
