# SPDX-License-Identifier: Apache-2.0
"""Recorded radars, depth cameras and rigs of six cameras as prompts."""

import numpy as np
import pytest

from metric_depth_ros.bags.from_frameset import write_frame_set
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.framesets import load_frame_set
from metric_depth_ros.geometry.edges import floating_pixels
from metric_depth_ros.replay.streams import find_streams
from metric_depth_ros.types import Source


@pytest.fixture
def frames(shared):
    """Return a function that gives the frames of a recorded set."""
    return lambda name: load_frame_set(shared / 'data' / name).frames


def test_radar_of_day_and_night_is_a_prompt_at_the_height_of_its_mounting(frames):
    recorded = frames('nuscenes_radar')
    assert any(frame.details['night'] for frame in recorded)
    for frame in recorded:
        prompt = frame.load_prompt('radar')
        assert len(prompt) > 50
        assert np.all(prompt.source == Source.RADAR)
        assert np.all(prompt.sigma >= 0.5)
        # Without height, all returns lie in the plane of the sensor.
        points = frame.camera.unproject(prompt.uv, prompt.depth)
        plane = np.column_stack((points[:, ::2], np.ones(len(points))))
        coefficients = np.linalg.lstsq(plane, points[:, 1], rcond=None)[0]
        assert np.abs(points[:, 1] - plane @ coefficients).max() < 0.1


def test_no_radar_return_in_the_image_is_lost_but_to_a_nearer_one_at_its_pixel(frames):
    for frame in frames('nuscenes_radar'):
        xyz = frame.load_points('radar')['xyz']
        uv = frame.camera.project(xyz)
        inside = np.all((uv > -0.5) & (uv < np.array(frame.camera.size) - 0.5), axis=1)
        pixels = np.unique(np.rint(uv[inside & (xyz[:, 2] > 0.1) & (xyz[:, 2] <= 250.0)]), axis=0)
        assert len(frame.load_prompt('radar')) == len(pixels)


def test_a_bag_of_a_radar_is_replayed_as_a_radar(shared, tmp_path):
    recorded = load_frame_set(shared / 'data/nuscenes_radar')
    write_frame_set(recorded, tmp_path / 'bag', prompt='radar')
    streams = find_streams(tmp_path / 'bag', {})
    assert streams.prompt_sources == ['radar']
    assert streams.remappings['radar'] == '/radar/points'


def test_six_cameras_share_one_lidar_and_are_one_batch(frames):
    recorded = frames('nuscenes_multicam')
    assert len(recorded) == 6
    batch = [
        frame.load_frame('lidar32')
        if 'lidar32' in frame.prompts
        else frame.load_frame(next(iter(frame.prompts)))
        for frame in recorded
    ]
    together = create_estimator('nearest').estimate_batch(batch)
    for frame, estimate in zip(batch, together, strict=True):
        assert estimate.depth.shape == frame.image.shape[:2]
        assert len(frame.prompt) > 100


def test_phone_depth_becomes_depth_of_the_whole_picture(frames):
    frame = frames('promptda_arkit')[0].load_frame('lowres')
    assert np.all(frame.prompt.source == Source.LOW_RESOLUTION)
    estimate = create_estimator('nearest').estimate(frame)
    assert estimate.depth.shape == (frame.image.shape[0], frame.image.shape[1])
    assert np.isfinite(estimate.depth).mean() > 0.99


@pytest.mark.parametrize('name', ['sevenscenes', 'realsense', 'cleargrasp'])
def test_few_pixels_of_a_real_depth_camera_float(frames, name):
    frame = frames(name)[0]
    depth = frame.load_depth_map('rgbd')
    measured = np.isfinite(depth)
    floating = floating_pixels(depth)
    assert not floating[~measured].any()
    assert floating.sum() < 0.08 * measured.sum()
