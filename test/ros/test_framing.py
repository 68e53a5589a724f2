# SPDX-License-Identifier: Apache-2.0
"""Bundles to frames, without ROS."""

from types import SimpleNamespace

import numpy as np
import pytest

from metric_depth_ros.codecs.camera_info import camera_to_fields
from metric_depth_ros.codecs.image import encode_color, encode_depth
from metric_depth_ros.codecs.pointcloud import encode_cloud
from metric_depth_ros.ros.assembly import Arrival, Bundle
from metric_depth_ros.ros.extrinsics import FixedTransform, StaticTree
from metric_depth_ros.ros.framing import FrameBuilder
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.types import CameraModel, Source

CAMERA = CameraModel.pinhole(8, 6, 10.0, 10.0, 3.5, 2.5)
DEPTH_CAMERA = CameraModel.pinhole(4, 3, 5.0, 5.0, 1.5, 1.0)
TREE = StaticTree({('camera', 'lidar'): np.eye(4), ('camera', 'depth'): np.eye(4)}, 'test')
FULL = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)


def received(record, frame_id, **extra):
    header = SimpleNamespace(frame_id=frame_id)
    return Arrival(SimpleNamespace(**vars(record), header=header, **extra), 1000, 0.0)


def info(camera, frame_id='camera'):
    return received(camera_to_fields(camera), frame_id, binning_x=0, binning_y=0, roi=FULL)


def image(width=8, height=6, frame_id='camera'):
    return received(encode_color(np.full((height, width, 3), 9, np.uint8)), frame_id)


def cloud(xyz, frame_id='lidar'):
    x, y, z = np.array(xyz, np.float32).T
    return received(encode_cloud({'x': x, 'y': y, 'z': z}), frame_id)


def sensor_depth(meters, shape=(6, 8), frame_id='camera', encoding='16UC1'):
    return received(encode_depth(np.full(shape, meters, np.float32), encoding), frame_id)


def built(measurements, extrinsics=TREE, **parameters):
    """Return the frame and the faults, as (stream, slug), of a bundle."""
    faults = []
    builder = FrameBuilder(extrinsics, lambda stream, error: faults.append((stream, error.fault)))
    settings = DEPTH_NODE.settings({name.replace('__', '.'): v for name, v in parameters.items()})
    whole = {'camera_info': info(CAMERA), **measurements}
    leading = whole.pop('image', None) or image()
    return builder.build(Bundle(leading, whole, 0.0), settings), faults


def test_points_become_a_prompt_of_the_image():
    frame, faults = built({'points': cloud([[0, 0, 4], [0.4, 0, 4]])})
    assert faults == []
    assert (frame.stamp_ns, frame.frame_id, frame.camera) == (1000, 'camera', CAMERA)
    np.testing.assert_allclose(frame.prompt.depth, 4.0)
    assert (frame.prompt.source == Source.LIDAR).all()
    assert (frame.image == 9).all()


def test_points_that_are_not_finite_are_left_out():
    frame, faults = built({'points': cloud([[0, 0, 4], [np.nan, 0, 4], [0, np.inf, 4]])})
    assert len(frame.prompt) == 1
    assert faults == []


def test_registered_depth_becomes_a_prompt_where_it_measures():
    frame, faults = built({'sensor_depth': sensor_depth(2.0)}, prompt__sources=['sensor_depth'])
    assert faults == []
    assert len(frame.prompt) == 48
    np.testing.assert_allclose(frame.prompt.depth, 2.0)


def test_depth_of_another_frame_goes_through_its_own_camera():
    measurements = {
        'sensor_depth': sensor_depth(2.0, (3, 4), 'depth', '32FC1'),
        'sensor_depth/camera_info': info(DEPTH_CAMERA, 'depth'),
    }
    frame, faults = built(measurements, prompt__sources=['sensor_depth'])
    assert faults == []
    assert len(frame.prompt) == 12


def test_depth_of_another_frame_needs_its_camera_info():
    measurements = {'sensor_depth': sensor_depth(2.0, (3, 4), 'depth')}
    frame, faults = built(measurements, prompt__sources=['sensor_depth'])
    assert faults == [('sensor_depth', 'camera_info_missing')]
    assert frame.prompt is None


def test_low_resolution_depth_is_spread_over_the_image():
    frame, faults = built(
        {'sensor_depth': sensor_depth(2.0, (3, 4))},
        prompt__sources=['sensor_depth'],
        prompt__depth_alignment='low_resolution',
    )
    assert faults == []
    assert len(frame.prompt) == 12
    assert frame.prompt.uv[:, 0].max() == 6.5


@pytest.mark.parametrize('alignment', ['registered', 'projected'])
def test_depth_that_is_not_of_the_image_size_has_other_pixels(alignment):
    frame, faults = built(
        {'sensor_depth': sensor_depth(2.0, (3, 4))},
        prompt__sources=['sensor_depth'],
        prompt__depth_alignment=alignment,
    )
    assert faults == [('sensor_depth', 'sensor_depth_size')]
    assert frame.prompt is None


def test_projected_points_have_the_noise_of_points_and_nothing_behind_them():
    depth = np.full((6, 8), np.nan, np.float32)
    depth[[0, 2, 4], 3] = 4.0
    depth[3, 3] = 30.0
    frame, faults = built(
        {'sensor_depth': received(encode_depth(depth, '32FC1'), 'camera')},
        prompt__sources=['sensor_depth'],
        prompt__depth_alignment='projected',
        prompt__sigma_m=0.1,
        prompt__sigma_rel=0.0,
    )
    assert faults == []
    assert frame.prompt.depth.tolist() == [4.0, 4.0, 4.0]
    np.testing.assert_allclose(frame.prompt.sigma, 0.1)
    assert (frame.prompt.source == Source.LIDAR).all()


def test_several_sources_are_merged():
    frame, _ = built(
        {'points': cloud([[0, 0, 4]]), 'sensor_depth': sensor_depth(2.0)},
        prompt__sources=['points', 'sensor_depth'],
    )
    assert len(frame.prompt) == 49


@pytest.mark.parametrize(('camera', 'lidar'), [('', ''), ('camera', ''), ('', 'lidar')])
def test_a_cloud_or_an_image_without_a_frame_has_no_place(camera, lidar):
    measurements = {'image': image(frame_id=camera), 'points': cloud([[0, 0, 4]], lidar)}
    frame, faults = built(measurements)
    assert faults == [('points', 'transform_missing')]
    assert frame.prompt is None


@pytest.mark.parametrize(('camera', 'lidar'), [('', ''), ('base', 'base'), ('camera', 'lidar')])
def test_a_file_that_names_no_frames_places_a_cloud_whatever_its_frame_is_called(camera, lidar):
    higher = np.eye(4)
    higher[2, 3] = 3.0
    measurements = {'image': image(frame_id=camera), 'points': cloud([[0, 0, 4]], lidar)}
    frame, faults = built(measurements, FixedTransform(higher))
    assert faults == []
    np.testing.assert_allclose(frame.prompt.depth, 7.0)


def test_depth_in_the_frame_of_the_image_is_not_moved_by_a_file_that_names_no_frames():
    measurements = {
        'sensor_depth': sensor_depth(2.0, (3, 4)),
        'sensor_depth/camera_info': info(DEPTH_CAMERA),
    }
    turned = FixedTransform(np.diag([-1.0, 1.0, -1.0, 1.0]))
    frame, faults = built(measurements, turned, prompt__sources=['sensor_depth'])
    assert faults == []
    np.testing.assert_allclose(frame.prompt.depth, 2.0)


@pytest.mark.parametrize('frames', [('', ''), ('camera', ''), ('', 'camera')])
def test_depth_is_taken_for_registered_without_frames_only_where_that_is_said(frames):
    measurements = {
        'image': image(frame_id=frames[0]),
        'sensor_depth': sensor_depth(2.0, frame_id=frames[1]),
        'sensor_depth/camera_info': info(CAMERA, frames[1]),
    }
    frame, faults = built(measurements, prompt__sources=['sensor_depth'])
    assert faults == [('sensor_depth', 'transform_missing')]
    assert frame.prompt is None
    said = {'prompt__depth_alignment': 'registered'}
    frame, faults = built(measurements, prompt__sources=['sensor_depth'], **said)
    assert faults == []
    assert len(frame.prompt) == 48


def test_a_faulty_source_costs_only_its_own_prompt():
    frame, faults = built(
        {'points': cloud([[0, 0, 4]], 'radar'), 'sensor_depth': sensor_depth(2.0)},
        prompt__sources=['points', 'sensor_depth'],
    )
    assert faults == [('points', 'transform_missing')]
    assert len(frame.prompt) == 48


def test_without_a_measurement_the_frame_has_no_prompt():
    frame, faults = built({})
    assert faults == [('points', 'silent')]
    assert frame.prompt is None


@pytest.mark.parametrize(
    ('offset_s', 'words'), [(-3.25, '3.250 s before'), (9.0, '9.000 s after')]
)
def test_a_measurement_too_far_in_time_is_reported_with_its_distance(offset_s, words):
    reports = []
    builder = FrameBuilder(TREE, lambda stream, error: reports.append((stream, str(error))))
    bundle = Bundle(image(), {'camera_info': info(CAMERA)}, 0.0, {'points': offset_s})
    builder.build(bundle, DEPTH_NODE.settings({}))
    assert reports[0][0] == 'points'
    assert words in reports[0][1]
    assert 'prompt.max_age_s' in reports[0][1]


@pytest.mark.parametrize(
    ('measurements', 'fault'),
    [
        ({'camera_info': None}, ('camera_info', 'camera_info_missing')),
        ({'camera_info': info(DEPTH_CAMERA)}, ('camera_info', 'camera_size')),
        ({'image': received(encode_depth(np.ones((6, 8), np.float32)), 'camera')},
         ('image', 'image_encoding')),
    ],
)  # fmt: skip
def test_a_faulty_image_or_camera_costs_the_frame(measurements, fault):
    frame, faults = built(measurements)
    assert frame is None
    assert faults == [fault]


def test_a_changed_calibration_is_noticed():
    builder = FrameBuilder(TREE, lambda *_: None)
    settings = DEPTH_NODE.settings({})
    other = CameraModel.pinhole(8, 6, 11.0, 11.0, 3.5, 2.5)
    first, second, third = (
        builder.build(Bundle(image(), {'camera_info': info(c)}, 0.0), settings).camera
        for c in (CAMERA, CAMERA, other)
    )
    assert first is second
    assert third == other
