# SPDX-License-Identifier: Apache-2.0
"""Radars, depth cameras of every kind, and rectified images, as the node takes them."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest
from rvl import encode_rvl

from metric_depth_ros.codecs.camera_info import camera_to_fields
from metric_depth_ros.codecs.image import encode_color, encode_depth
from metric_depth_ros.codecs.pointcloud import encode_cloud
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.ros.assembly import Arrival, Bundle
from metric_depth_ros.ros.framing import FrameBuilder
from metric_depth_ros.ros.limits import limited_depth
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.ros.static_tree import StaticTree
from metric_depth_ros.types import CameraModel, DepthEstimate, Source

WIDTH, HEIGHT = 64, 48
CAMERA = CameraModel.pinhole(WIDTH, HEIGHT, 50.0, 50.0, 31.5, 23.5)
FISHEYE = CameraModel(
    WIDTH,
    HEIGHT,
    np.array([[20.0, 0.0, 31.5], [0.0, 20.0, 23.5], [0.0, 0.0, 1.0]]),
    Distortion('equidistant', (0.01, 0.0, 0.0, 0.0)),
)
FORWARD = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
ASIDE = np.eye(4)
ASIDE[0, 3] = 0.08
TREE = StaticTree(
    {('camera', 'radar'): FORWARD, ('camera', 'lidar'): np.eye(4), ('camera', 'depth'): ASIDE},
    'test',
)
FULL = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)


def received(record, frame_id, stamp_ns=1000, **extra):
    header = SimpleNamespace(frame_id=frame_id)
    return Arrival(SimpleNamespace(**vars(record), header=header, **extra), stamp_ns, 0.0)


def info(camera, frame_id='camera'):
    return received(camera_to_fields(camera), frame_id, binning_x=0, binning_y=0, roi=FULL)


def built(measurements, camera=CAMERA, **parameters):
    """Return the frame and the faults, as (stream, slug), of a bundle."""
    faults = []
    builder = FrameBuilder(TREE, lambda stream, error: faults.append((stream, error.fault)))
    settings = DEPTH_NODE.settings({name.replace('__', '.'): v for name, v in parameters.items()})
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    image = received(encode_color(pixels), 'camera')
    bundle = Bundle(image, {'camera_info': info(camera), **measurements}, 0.0)
    return builder.build(bundle, settings), faults


def radar(stamp_ns=1000, **columns):
    at = {'x': np.array([10.0, 20.0, 20.0]), 'y': np.array([0.0, 0.5, 5.0])}
    return received(encode_cloud({**at, **columns}), 'radar', stamp_ns)


def test_a_radar_without_any_extra_field_becomes_a_prompt():
    frame, faults = built({'radar': radar()}, prompt__sources=['radar'])
    assert faults == []
    assert set(frame.prompt.source) == {Source.RADAR}
    np.testing.assert_allclose(frame.prompt.depth, [10.0, 20.0, 20.0])
    np.testing.assert_allclose(frame.prompt.sigma, np.hypot(0.5, 0.02 * frame.prompt.depth))


def test_what_moves_is_uncertain_by_the_age_of_the_radar():
    velocity = np.array([0.0, 0.0, 20.0])
    frame, faults = built(
        {'radar': radar(1000 + 100_000_000, velocity=velocity)}, prompt__sources=['radar']
    )
    assert faults == []
    assert frame.prompt.sigma[2] == pytest.approx(np.hypot(np.hypot(0.5, 0.4), 2.0), rel=1e-3)


def test_radar_and_lidar_are_told_apart():
    xyz = dict(zip('xyz', np.array([[0.0], [0.0], [4.0]], np.float32), strict=True))
    frame, _ = built(
        {'radar': radar(), 'points': received(encode_cloud(xyz), 'lidar')},
        prompt__sources=['points', 'radar'],
    )
    assert list(frame.prompt.source) == [Source.LIDAR, *[Source.RADAR] * 3]


def test_a_radar_without_positions_costs_only_its_prompt():
    frame, faults = built(
        {'radar': received(encode_cloud({'rcs': np.ones(3)}), 'radar')}, prompt__sources=['radar']
    )
    assert faults == [('radar', 'cloud_fields')]
    assert frame.prompt is None


def edge_with_flying_pixels():
    depth = np.full((HEIGHT, WIDTH), 1.0, np.float32)
    depth[:, 31] = 2.0
    depth[:, 32:] = 3.0
    return depth


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
def test_flying_pixels_of_a_depth_camera_are_no_prompt(encoding):
    depth = received(encode_depth(edge_with_flying_pixels(), encoding), 'camera')
    frame, faults = built({'sensor_depth': depth}, prompt__sources=['sensor_depth'])
    assert faults == []
    assert set(np.unique(frame.prompt.depth.round(3))) == {np.float32(1.0), np.float32(3.0)}


def test_flying_pixels_stay_where_that_is_asked_for():
    depth = received(encode_depth(edge_with_flying_pixels()), 'camera')
    frame, _ = built(
        {'sensor_depth': depth},
        prompt__sources=['sensor_depth'],
        prompt__remove_flying_pixels=False,
    )
    assert len(frame.prompt) == WIDTH * HEIGHT


@pytest.mark.parametrize(
    ('frame_id', 'told'),
    [('depth', [('sensor_depth', 'depth_frame')]), ('camera', []), ('/camera', []), ('', [])],
)
def test_registered_depth_of_another_frame_is_used_and_told_once(frame_id, told):
    faults = []
    builder = FrameBuilder(TREE, lambda stream, error: faults.append((stream, error.fault)))
    settings = DEPTH_NODE.settings(
        {'prompt.sources': ['sensor_depth'], 'prompt.depth_alignment': 'registered'}
    )
    image = received(encode_color(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), 'camera')
    depth = received(encode_depth(np.ones((HEIGHT, WIDTH), np.float32)), frame_id)
    bundle = Bundle(image, {'camera_info': info(CAMERA), 'sensor_depth': depth}, 0.0)
    for _ in range(2):
        assert len(builder.build(bundle, settings).prompt) == WIDTH * HEIGHT
    assert faults == told


def test_depth_of_the_frame_of_the_image_is_registered_with_and_without_its_slash():
    depth = received(encode_depth(np.ones((HEIGHT, WIDTH), np.float32)), '/camera')
    # As unregistered it would need a CameraInfo of its own.
    frame, faults = built({'sensor_depth': depth}, prompt__sources=['sensor_depth'])
    assert faults == []
    assert len(frame.prompt) == WIDTH * HEIGHT


@pytest.mark.parametrize('frame_id', ['camera', 'depth'])
def test_compressed_depth_is_taken_registered_or_not(frame_id):
    values = np.full((HEIGHT, WIDTH), 2000, np.uint16)
    values[:5] = 0
    data = struct.pack('<iff', 0, 0.0, 0.0) + encode_rvl(values)
    message = SimpleNamespace(
        format='16UC1; compressedDepth rvl', data=np.frombuffer(data, np.uint8)
    )
    frame, faults = built(
        {
            'sensor_depth': received(message, frame_id),
            'sensor_depth/camera_info': info(CAMERA, frame_id),
        },
        prompt__sources=['sensor_depth'],
        prompt__depth_transport='compressedDepth',
    )
    assert faults == []
    np.testing.assert_allclose(frame.prompt.depth, 2.0)
    # Registered: all that is measured. From 8 cm aside: less the pixels out of view.
    whole = (HEIGHT - 5) * WIDTH
    assert len(frame.prompt) == whole if frame_id == 'camera' else 0.9 * whole < len(frame.prompt)


BARREL = CameraModel(WIDTH, HEIGHT, CAMERA.K, Distortion('plumb_bob', (-0.27, 0.09, 0.0, 0.0)))


@pytest.mark.parametrize('depth_rectified', [False, True])
def test_a_rectified_depth_image_is_not_bent_by_the_lens_that_it_no_longer_has(depth_rectified):
    depth = received(encode_depth(np.full((HEIGHT, WIDTH), 2.0, np.float32)), 'depth')
    frame, faults = built(
        {'sensor_depth': depth, 'sensor_depth/camera_info': info(BARREL, 'depth')},
        prompt__sources=['sensor_depth'],
        prompt__depth_rectified=depth_rectified,
    )
    assert faults == []
    shift_px = CAMERA.K[0, 0] * ASIDE[0, 3] / 2.0
    row, column = np.mgrid[:HEIGHT, : WIDTH - int(shift_px)]
    expected = np.stack((column + shift_px, row), axis=-1).reshape(-1, 2)
    in_place = frame.prompt.uv.shape == expected.shape and np.allclose(
        frame.prompt.uv, expected, atol=1e-3
    )
    assert in_place is depth_rectified


def test_a_point_of_a_fisheye_has_its_pixel_in_the_raw_image():
    xyz = {'x': np.full(1, 1.0), 'y': np.zeros(1), 'z': np.full(1, 1.0)}
    points = {'points': received(encode_cloud(xyz), 'lidar')}
    frame, faults = built(points, FISHEYE)
    assert faults == []
    angle = np.pi / 4
    expected = 31.5 + 20.0 * angle * (1.0 + 0.01 * angle**2)
    np.testing.assert_allclose(frame.prompt.uv, [[expected, 23.5]], atol=1e-3)


def test_a_fisheye_that_is_rectified_is_a_pinhole_throughout():
    xyz = {'x': np.full(1, 1.0), 'y': np.zeros(1), 'z': np.full(1, 1.0)}
    points = {'points': received(encode_cloud(xyz), 'lidar')}
    frame, faults = built(points, FISHEYE, camera__rectify=True, camera__rectified_fov_deg=100.0)
    assert faults == []
    assert frame.camera.distortion.is_identity
    assert frame.camera.fov_x_deg == pytest.approx(100.0)
    focal = 32.0 / np.tan(np.radians(50.0))
    np.testing.assert_allclose(frame.prompt.uv, [[31.5 + focal, 23.5]], atol=1e-3)


def test_registered_depth_is_rectified_with_its_image():
    depth = received(encode_depth(np.full((HEIGHT, WIDTH), 2.0, np.float32)), 'camera')
    frame, faults = built(
        {'sensor_depth': depth},
        FISHEYE,
        prompt__sources=['sensor_depth'],
        camera__rectify=True,
        camera__rectified_fov_deg=90.0,
    )
    assert faults == []
    np.testing.assert_array_equal(frame.prompt.depth, 2.0)


def test_the_edge_filter_takes_away_what_floats():
    depth = edge_with_flying_pixels()
    estimate = DepthEstimate(depth, camera=CAMERA)
    assert np.isfinite(limited_depth(estimate, 100.0, 0.0).depth).all()
    filtered = limited_depth(estimate, 100.0, 0.0, 0.03).depth
    assert np.isnan(filtered[:, 31]).all()
    assert np.isfinite(np.delete(filtered, 31, axis=1)).all()
