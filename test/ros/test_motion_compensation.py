# SPDX-License-Identifier: Apache-2.0
"""A fast drive: a LiDAR at 10 Hz that turns while it is carried along, a camera at 24 Hz.

The robot drives at 15 m/s and turns at 45 deg/s between walls and poles. Every column of the
LiDAR is shot from where the sensor is at that moment; odometry is known at 50 Hz.
"""

import importlib.util
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from metric_depth_ros.codecs.pointcloud import encode_cloud
from metric_depth_ros.geometry.motion import PoseTrack
from metric_depth_ros.geometry.rigid import inverse
from metric_depth_ros.ros.assembly import Arrival
from metric_depth_ros.ros.moving_tree import MovingTree
from metric_depth_ros.ros.parameters import PromptSettings
from metric_depth_ros.ros.prompts import View, prompt_from
from metric_depth_ros.types import CameraModel, Frame

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('torch') is None, reason='the simulation casts rays with torch'
)

S = 1_000_000_000
START_NS = 1_767_225_600 * S
SPEED_MPS, TURN_RPS = 15.0, np.radians(45.0)
CAMERA = CameraModel.pinhole(1280, 720, 1000.0, 1000.0, 639.5, 359.5)
LIDAR_PERIOD_S, LIDAR_PHASE_S = 0.1, 0.013
MAX_AGE_S = 0.06


def robot_at(time_s):
    """Return T_odom_base on a circle."""
    heading, radius = TURN_RPS * time_s, SPEED_MPS / TURN_RPS
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler('z', heading).as_matrix()
    T[:2, 3] = radius * np.sin(heading), radius * (1.0 - np.cos(heading))
    return T


T_BASE_CAMERA = np.array(
    [[0.0, 0.0, 1.0, 1.2], [-1.0, 0.0, 0.0, 0.1], [0.0, -1.0, 0.0, 1.4], [0.0, 0.0, 0.0, 1.0]]
)
T_BASE_LIDAR = np.eye(4)
T_BASE_LIDAR[:3, 3] = 0.8, 0.0, 1.8


def odometry(until_s, rate_hz=50.0):
    times = np.arange(0.0, until_s, 1.0 / rate_hz)
    stamps = START_NS + np.round(times * S).astype(np.int64)
    return PoseTrack(stamps, np.stack([robot_at(t) for t in times]))


@pytest.fixture(scope='module')
def drive():
    """Return the extrinsics, and five clouds with when each of their points was measured."""
    from moving_lidar import sweep
    from small_worlds import daylight

    from metric_depth_ros.simulation.sensors.echoes import EchoModel
    from metric_depth_ros.simulation.sensors.lidar import LidarModel
    from metric_depth_ros.simulation.world import WorldBuilder

    rng = np.random.default_rng(0)
    build = WorldBuilder()
    gray = build.material((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    build.ground(gray)
    for turn in np.arange(0.0, 2.0 * np.pi, 0.2):
        distance = rng.uniform(30.0, 60.0)
        x, y = distance * np.cos(turn), 19.0 + distance * np.sin(turn)
        build.cylinder((x, y, 3.0), rng.uniform(0.1, 3.0), 6.0, gray)
    world = build.build(daylight())
    clean = EchoModel(range_noise_m=0.0, dropout=0.0, divergence_deg=0.0)
    model = LidarModel(lines=16, lowest_deg=-12.0, highest_deg=6.0, columns=900, echoes=clean)
    clouds = []
    for turn in range(5):
        start_s = LIDAR_PHASE_S + turn * LIDAR_PERIOD_S
        columns = sweep(
            world, model, lambda t: robot_at(t) @ T_BASE_LIDAR, start_s, LIDAR_PERIOD_S, rng
        )
        clouds.append((start_s, columns))
    mounted = {('base', 'camera'): T_BASE_CAMERA, ('base', 'lidar'): T_BASE_LIDAR}
    tree = MovingTree(mounted, {('odom', 'base'): odometry(1.0)}, 'odom', 'test')
    return tree, clouds


def true_pixels(start_s, columns, image_s):
    """Return where the camera really sees what every point of a cloud hit, and its depth."""
    xyz = np.stack([columns[axis] for axis in 'xyz'], axis=-1).astype(np.float64)
    place = np.stack([robot_at(start_s + t) @ T_BASE_LIDAR for t in columns['time']])
    in_world = (place[:, :3, :3] @ xyz[..., None])[..., 0] + place[:, :3, 3]
    T = inverse(robot_at(image_s) @ T_BASE_CAMERA)
    return CAMERA.project(in_world @ T[:3, :3].T + T[:3, 3])


def errors_px(drive, **settings):
    """Return by how many pixels the prompts of all images of 24 Hz miss what was hit."""
    tree, clouds = drive
    errors = []
    for image_s in np.arange(0.03, 0.47, 1.0 / 24.0):
        start_s, columns = min(clouds, key=lambda c: abs(c[0] - image_s))
        assert abs(start_s - image_s) < MAX_AGE_S
        true = true_pixels(start_s, columns, image_s)
        # Every point alone: a prompt does not tell which point of the cloud one of its own is.
        seen = np.flatnonzero(
            np.all((true > 40.0) & (true < np.array(CAMERA.size) - 40.0), axis=-1)
        )
        for row in seen[:: max(1, len(seen) // 30)]:
            one = {name: column[[0, row, -1]] for name, column in columns.items()}
            prompt = prompt_of(one, start_s, image_s, tree, **settings)
            off = np.linalg.norm(prompt.uv - true[row], axis=1)
            errors.append(off.min(initial=1e3))
    return np.array(errors)


def refuse(stream, error):
    raise error


def prompt_of(columns, start_s, image_s, tree, **settings):
    fields = encode_cloud(columns)
    header = SimpleNamespace(frame_id='lidar')
    cloud = SimpleNamespace(**vars(fields), header=header)
    arrival = Arrival(cloud, START_NS + round(start_s * S), 0.0)
    image = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    frame = Frame(START_NS + round(image_s * S), 'camera', image, CAMERA)
    view = View(frame, tree, lambda: CAMERA, refuse, refuse)
    wanted = replace(PromptSettings(remove_occluded=False), **settings)
    return prompt_from('points', arrival, view, wanted)


def test_compensation_brings_the_error_below_a_pixel(drive):
    errors = errors_px(drive)
    assert len(errors) > 200
    assert np.median(errors) < 1.0
    assert np.percentile(errors, 95) < 1.0


def test_without_times_of_points_the_error_is_that_of_a_sweep(drive):
    assert np.median(errors_px(drive, compensate_motion=False)) > 5.0


def test_without_a_fixed_frame_the_error_is_that_of_the_whole_motion(drive):
    tree, clouds = drive
    mounted = MovingTree(tree._transforms, {}, 'odom', 'test')
    assert np.median(errors_px((mounted, clouds))) > 20.0
