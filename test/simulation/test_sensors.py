# SPDX-License-Identifier: Apache-2.0
"""Simulated cameras, LiDARs and depth cameras against the ground truth of their scenes."""

import numpy as np
import pytest
import torch

from metric_depth_ros.geometry.projection import project_cloud
from metric_depth_ros.geometry.rigid import inverse
from metric_depth_ros.simulation.camera import camera_rays
from metric_depth_ros.simulation.raycast import cast
from metric_depth_ros.simulation.recording import simulate_frames
from metric_depth_ros.simulation.scene import camera_of
from metric_depth_ros.simulation.scenes import SCENE_NAMES, make_scene

SIZE = (160, 96)


def frame_of(scene, index, seed, device='cpu'):
    return next(simulate_frames(scene, [index], 10.0, seed, device))


@pytest.fixture(scope='module')
def frames():
    """Return one small frame of every scene."""
    scenes = {name: make_scene(name, SIZE, seed=3) for name in SCENE_NAMES}
    return {name: (s, frame_of(s, 4, seed=3)) for name, s in scenes.items()}


def test_camera_rays_go_through_pixel_centers():
    camera = camera_of(64, 48, 70.0)
    rays = camera_rays(camera).reshape(48, 64, 3).numpy()
    np.testing.assert_allclose(camera.project(rays)[20, 30], (30.0, 20.0), atol=1e-3)


@pytest.mark.parametrize('name', SCENE_NAMES)
def test_every_scene_has_a_picture_and_depth(frames, name):
    _, frame = frames[name]
    assert frame.image.shape == (SIZE[1], SIZE[0], 3)
    assert 30 < frame.image.mean() < 220
    assert frame.image.std() > 15
    assert np.isfinite(frame.truth).mean() > 0.6


def test_lidar_points_lie_on_the_surfaces_that_the_camera_sees(frames):
    scene, frame = frames['street']
    xyz = np.stack([frame.cloud[axis] for axis in 'xyz'], -1)
    T_camera_lidar = inverse(scene.T_base_camera) @ scene.T_base_lidar
    seen = project_cloud(scene.camera, xyz, T_camera_lidar)
    column, row = np.rint(seen.uv).astype(int).T
    truth = frame.truth[row, column]
    known = np.isfinite(truth)
    error = np.abs(seen.depth[known] - truth[known]) / truth[known]
    assert known.sum() > 500
    # A pixel is wide, and points at edges belong to either side of it.
    assert np.median(error) < 0.01
    assert np.mean(error < 0.05) > 0.9


def test_the_lidar_sees_what_the_camera_does_not(frames):
    scene, frame = frames['street']
    xyz = np.stack([frame.cloud[axis] for axis in 'xyz'], -1)
    T_camera_lidar = inverse(scene.T_base_camera) @ scene.T_base_lidar
    everything = project_cloud(scene.camera, xyz, T_camera_lidar, remove_occluded=False)
    column, row = np.rint(everything.uv).astype(int).T
    behind = everything.depth > 1.2 * frame.truth[row, column] + 1.0
    assert 0 < behind.sum() < 0.1 * len(behind)


def test_lidar_lines_are_in_range_and_complete(frames):
    scene, frame = frames['street']
    distance = np.linalg.norm([frame.cloud[axis] for axis in 'xyz'], axis=0)
    assert distance.max() < scene.lidar.echoes.max_range_m + 1.0
    assert set(np.unique(frame.cloud['ring'])) <= set(range(scene.lidar.lines))
    assert len(np.unique(frame.cloud['ring'])) > 0.7 * scene.lidar.lines


@pytest.mark.parametrize('name', ['indoor', 'tabletop'])
def test_the_depth_camera_is_right_where_it_has_a_value_and_has_holes(frames, name):
    _, frame = frames[name]
    known = np.isfinite(frame.sensor_depth)
    error = np.abs(frame.sensor_depth - frame.truth)[known] / frame.truth[known]
    assert 0.5 < known.mean() < 0.99
    assert np.median(error) < 0.03
    assert np.median(error) > 1e-4


def test_depth_camera_noise_grows_with_depth(frames):
    _, frame = frames['indoor']
    error = np.abs(frame.sensor_depth - frame.truth)
    near_m, far_m = np.nanquantile(frame.truth, (0.33, 0.67))
    near, far = frame.truth < near_m, frame.truth > far_m
    assert np.nanmedian(error[far]) > 1.5 * np.nanmedian(error[near])


@pytest.mark.parametrize('name', SCENE_NAMES)
def test_the_same_seed_gives_the_same_frame(frames, name):
    _, frame = frames[name]
    again = frame_of(make_scene(name, SIZE, seed=3), 4, seed=3)
    np.testing.assert_array_equal(again.image, frame.image)
    np.testing.assert_array_equal(again.truth, frame.truth)


def test_another_seed_gives_another_world(frames):
    _, frame = frames['street']
    other = frame_of(make_scene('street', SIZE, seed=4), 4, seed=4)
    assert np.mean(other.truth != frame.truth) > 0.3


def test_the_camera_moves(frames):
    scene, frame = frames['street']
    later = frame_of(scene, 14, seed=3)
    assert later.stamp_ns - frame.stamp_ns == 1_000_000_000
    assert np.mean(later.truth != frame.truth) > 0.3


# Of worlds that have something where the robot would be if it never turned back, or an open door
# in its way (81, 99) if it were not kept shut.
@pytest.mark.parametrize(
    ('name', 'seed'),
    [
        ('street', 1),
        ('indoor', 3),
        ('indoor', 81),
        ('indoor', 99),
        ('tabletop', 6),
    ],
)
def test_a_long_recording_goes_through_nothing_and_jumps_nowhere(name, seed):
    scene = make_scene(name, SIZE, seed)
    rate_hz = 10.0
    poses = [scene.base_at(i / rate_hz) @ scene.T_base_camera for i in range(600)]
    place = torch.tensor(np.stack([pose[:3, 3] for pose in poses]), dtype=torch.float32)[None]
    steps = place.diff(dim=1)
    hits = cast(scene.world, place[:, :-1], steps)
    assert not (hits.found & (hits.distance <= 1.0)).any()
    speed_m_s = rate_hz * steps[0].norm(dim=-1)
    assert speed_m_s.max() < 1.1 * speed_m_s[:20].max()
    assert (rate_hz * steps.diff(dim=1)[0].norm(dim=-1)).max() < 0.2 * speed_m_s.max()


def test_furniture_leaves_the_robot_its_way():
    scene = make_scene('indoor', SIZE, seed=84)
    eyes = np.stack([scene.base_at(seconds)[:3, 3] for seconds in np.arange(0.0, 32.0, 0.5)])
    rays = np.random.default_rng(0).standard_normal((len(eyes), 200, 3))
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    places = np.repeat(eyes, 200, axis=0)[None]
    hits = cast(
        scene.world,
        *(torch.from_numpy(a.astype(np.float32)) for a in (places, rays.reshape(1, -1, 3))),
    )
    assert hits.distance.min() > 0.15


def test_the_first_seconds_of_a_drive_are_at_one_speed(frames):
    scene, _ = frames['street']
    assert [scene.base_at(s)[0, 3] for s in (0.0, 2.0, 6.0)] == [0.0, 14.0, 42.0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_a_gpu_sees_the_same_depth(frames):
    scene, frame = frames['street']
    on_gpu = frame_of(scene, 4, seed=3, device='cuda')
    same = np.isclose(on_gpu.truth, frame.truth, rtol=1e-3, equal_nan=True)
    assert same.mean() > 0.995
