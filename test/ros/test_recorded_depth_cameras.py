# SPDX-License-Identifier: Apache-2.0
"""Recorded depth cameras as messages: own intrinsics and place, and a phone's small depth."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from rosbags.rosbag1 import Reader
from rosbags.typesys import Stores, get_typestore

from metric_depth_ros.codecs.camera_info import camera_to_fields
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.framesets import load_frame_set
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.ros.assembly import Arrival, Bundle
from metric_depth_ros.ros.extrinsics import StaticTree
from metric_depth_ros.ros.framing import FrameBuilder
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.types import Source

STAMP_NS = 1_000_000_000
ROI = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)


def message(frame_id, **fields):
    return SimpleNamespace(header=SimpleNamespace(frame_id=frame_id), **fields)


def image_message(frame_id, encoding, pixels):
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    return message(
        frame_id, height=height, width=width, encoding=encoding, is_bigendian=0,
        step=pixels.strides[0], data=pixels.tobytes(),
    )  # fmt: skip


def info_message(camera):
    fields = camera_to_fields(camera)
    return message('', **vars(fields), binning_x=0, binning_y=0, roi=ROI)


def built(color, camera, depth, depth_camera, alignment, transforms=(), **parameters):
    """Return the frame that the node makes of these messages."""
    settings = DEPTH_NODE.settings(
        {
            'prompt.sources': ['sensor_depth'],
            'prompt.depth_alignment': alignment,
            'extrinsics.source': 'file',
            'extrinsics.path': '-',
            **parameters,
        }
    )
    faults = []
    tree = StaticTree(dict(transforms), 'the recording')
    builder = FrameBuilder(tree, lambda stream, error: faults.append(error))
    messages = {
        'camera_info': info_message(camera),
        'sensor_depth': depth,
        'sensor_depth/camera_info': info_message(depth_camera),
    }
    arrivals = {name: Arrival(m, STAMP_NS, 0.0) for name, m in messages.items()}
    frame = builder.build(Bundle(Arrival(color, STAMP_NS, 0.0), arrivals, 0.0), settings)
    assert not faults
    return frame


def pinhole(K, width, height):
    return CameraModel.pinhole(width, height, K[0][0], K[1][1], K[0][2], K[1][2])


@pytest.fixture
def realsense(shared):
    return load_frame_set(shared / 'data/realsense')


def test_a_realsense_with_unregistered_depth_gives_the_points_of_its_recording(shared, realsense):
    calibration = realsense.details['calibration']
    store = get_typestore(Stores.ROS1_NOETIC)
    images = {}
    with Reader(shared / 'data/realsense' / realsense.details['bag']) as bag:
        for connection, _, raw in bag.messages():
            if connection.msgtype == 'sensor_msgs/msg/Image':
                images.setdefault(
                    connection.topic, store.deserialize_ros1(raw, connection.msgtype)
                )
    depth, color = (images[calibration['topics'][name]] for name in ('depth', 'color'))
    assert depth.encoding == 'mono16'
    depth.header.frame_id, color.header.frame_id = 'depth', 'color'
    frame = built(
        color,
        pinhole(calibration['K_color'], color.width, color.height),
        depth,
        pinhole(calibration['K_depth'], depth.width, depth.height),
        'unregistered',
        {('color', 'depth'): np.array(calibration['T_color_depth'])}.items(),
        **{'prompt.remove_flying_pixels': False},
    )
    recorded = realsense.frames[0].load_depth_map('rgbd')
    made = frame.prompt.to_map(color.width, color.height)
    both = np.isfinite(made) & np.isfinite(recorded)
    assert both.sum() > 0.999 * np.isfinite(recorded).sum()
    # The recorded map is in whole millimeters.
    assert np.abs(made - recorded)[both].max() <= 0.0005 + 1e-5


def test_an_unregistered_kinect_at_the_place_of_its_image_is_a_registered_one(shared):
    recorded = load_frame_set(shared / 'data/sevenscenes').frames[0]
    depth = np.nan_to_num(recorded.load_depth_map('rgbd') * 1000.0).round().astype(np.uint16)
    color = image_message('camera', 'rgb8', recorded.load_image())
    prompts = [
        built(
            color,
            recorded.camera,
            image_message('camera', '16UC1', depth),
            recorded.camera,
            alignment,
        ).prompt.to_map(*recorded.camera.size)
        for alignment in ('registered', 'unregistered')
    ]
    both = np.isfinite(prompts[0]) & np.isfinite(prompts[1])
    assert both.sum() > 0.98 * np.isfinite(prompts[0]).sum()
    np.testing.assert_array_equal(prompts[0][both], prompts[1][both])


def test_a_phones_small_depth_is_enlarged_with_less_error_than_by_its_cells(shared):
    """Every fourth cell in both directions is the prompt, all cells are what is asked for."""
    recorded = load_frame_set(shared / 'data/promptda_arkit').frames[0]
    picture, cells = recorded.load_image(), recorded.load_low_resolution_map('lowres')
    height, width = picture.shape[:2]
    camera = CameraModel.pinhole(width, height, 1450.0, 1450.0, width / 2, height / 2)
    frame = built(
        image_message('camera', 'rgb8', picture),
        camera,
        image_message('camera', '32FC1', cells[2::4, 2::4]),
        camera,
        'low_resolution',
    )
    assert np.all(frame.prompt.source == Source.LOW_RESOLUTION)
    error = {}
    for name in ('nearest', 'classical:fast'):
        depth = create_estimator(name).estimate(frame).depth
        assert depth.shape == (height, width)
        assert np.isfinite(depth).all()
        at_cells = cv2.resize(depth, cells.shape[::-1], interpolation=cv2.INTER_NEAREST)
        error[name] = float(np.mean(np.abs(at_cells - cells) / cells))
    assert error['classical:fast'] < 0.5 * error['nearest'] < 0.005
