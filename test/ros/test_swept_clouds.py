# SPDX-License-Identifier: Apache-2.0
"""Clouds with a time for each point: what hides what in them, and times that cannot be read."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from metric_depth_ros.codecs.pointcloud import encode_cloud
from metric_depth_ros.geometry.motion import PoseTrack
from metric_depth_ros.ros.assembly import Arrival
from metric_depth_ros.ros.moving_tree import MovingTree
from metric_depth_ros.ros.parameters import PromptSettings
from metric_depth_ros.ros.prompts import View, prompt_from
from metric_depth_ros.types import CameraModel, Frame

S = 1_000_000_000
STAMP_NS = 1_767_225_600 * S
CAMERA = CameraModel.pinhole(320, 320, 200.0, 200.0, 160.0, 160.0)
OPTICAL_OF_LIDAR = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
SETTINGS = PromptSettings()


def tree(turn_deg=0.0, speed_mps=0.0, motion_known=True):
    """Return a robot that drives along its LiDAR's x, and a camera turned about its axis."""
    turn = np.radians(turn_deg)
    T_camera_lidar = np.eye(4)
    T_camera_lidar[:3, :3] = (
        np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        @ OPTICAL_OF_LIDAR
    )
    poses = np.stack([np.eye(4)] * 2)
    poses[:, 0, 3] = -speed_mps, speed_mps
    track = PoseTrack(np.array([STAMP_NS - S, STAMP_NS + S]), poses)
    tracks = {('odom', 'lidar'): track} if motion_known else {}
    return MovingTree({('camera', 'lidar'): T_camera_lidar}, tracks, 'odom', 'test')


def pixels(depth_m, columns, rows):
    """Return points (N, 3) of the LiDAR that a camera sees at pixels, upright."""
    column, row = (values.ravel() for values in np.meshgrid(columns, rows))
    rays = np.stack((column - 160.0, row - 160.0, np.full(len(row), 200.0)), axis=-1) / 200.0
    return (depth_m * rays) @ OPTICAL_OF_LIDAR


def prompt_of(xyz, extrinsics, times, settings=SETTINGS):
    """Return the prompt of a cloud and the faults, as (stream, slug)."""
    cloud = encode_cloud({**dict(zip('xyz', xyz.T.astype(np.float32), strict=True)), **times})
    arrival = Arrival(
        SimpleNamespace(**vars(cloud), header=SimpleNamespace(frame_id='lidar')), STAMP_NS, 0.0
    )
    frame = Frame(STAMP_NS, 'camera', np.zeros((320, 320, 3), np.uint8), CAMERA)
    faults = []

    def report(*fault):
        faults.append(fault)

    view = View(frame, extrinsics, lambda: CAMERA, report, report)
    prompt = prompt_from('points', arrival, view, settings)
    return prompt, [(stream, error.fault) for stream, error in faults]


@pytest.mark.parametrize('turn_deg', [0.0, 90.0, 180.0, 270.0])
def test_ghosts_of_a_cloud_with_times_are_found_however_the_camera_is_turned(turn_deg):
    # Between scan lines 24 pixels apart.
    near = pixels(5.0, np.arange(100, 200, 2), np.arange(10, 190, 24))
    ghosts = pixels(30.0, np.arange(121, 180, 6), np.array([70, 94, 118]))
    xyz = np.concatenate((near, ghosts))
    times = {'time': np.linspace(0.0, 0.1, len(xyz), dtype=np.float32)}
    prompt, faults = prompt_of(xyz, tree(turn_deg), times)
    assert faults == []
    assert len(prompt) == len(near)
    np.testing.assert_allclose(prompt.depth, 5.0, rtol=1e-5)


WALL = pixels(20.0, np.arange(100, 200, 10), np.arange(100, 200, 10))
UNREADABLE = {
    'of several sweeps': {'timestamp': 1e9 + np.linspace(0.0, 2.0, len(WALL))},
    'since the sensor was switched on': {
        't': np.arange(len(WALL), dtype=np.uint32) * 10 + 3_600_000_000
    },
}
unreadable = pytest.mark.parametrize('times', UNREADABLE.values(), ids=UNREADABLE.keys())


@unreadable
def test_times_that_cannot_be_read_do_not_matter_where_the_motion_is_not_known(times):
    prompt, faults = prompt_of(WALL, tree(motion_known=False), times)
    assert faults == []
    assert len(prompt) == len(WALL)


@unreadable
def test_a_cloud_of_times_that_cannot_be_read_is_reported_and_moved_as_a_whole(times):
    driving = tree(speed_mps=15.0)
    prompt, faults = prompt_of(WALL, driving, times)
    assert faults == [('points', 'cloud_times')]
    whole, _ = prompt_of(WALL, driving, {}, replace(SETTINGS, compensate_motion=False))
    assert len(prompt) == len(WALL)
    np.testing.assert_array_equal(prompt.uv, whole.uv)
