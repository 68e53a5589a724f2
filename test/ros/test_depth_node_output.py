# SPDX-License-Identifier: Apache-2.0
"""The output contract of a live node, and outputs that are computed only when subscribed."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from metric_depth_ros.codecs.image import decode_color, decode_depth
from metric_depth_ros.codecs.pointcloud import decode_xyz


@pytest.fixture(scope='module')
def node(start_node, client):
    node = start_node({'diagnostics.period_s': 0.2, 'depth.max_range_m': 20.0})
    client.connect()
    return node


def values_of(status):
    return {pair.key: pair.value for pair in status.values}


def test_every_output_has_the_stamp_and_frame_of_the_image(node, client):
    kinds = {
        'depth/camera_info': CameraInfo,
        'depth/points': PointCloud2,
        'depth/confidence': Image,
        'depth/image_color': Image,
        'depth/prompt': Image,
    }
    for topic, kind in kinds.items():
        client.warm_up(kind, topic)
    frame = client.frame()
    client.answer(frame, 'depth/points')
    for topic in kinds:
        found = client.answer(frame, topic)
        assert found.header == frame['image'].header, topic


def test_depth_is_32fc1_meters_of_the_size_of_the_image(node, client):
    message = client.answer(client.frame())
    assert (message.encoding, message.width, message.height) == ('32FC1', 64, 48)
    np.testing.assert_allclose(decode_depth(message), 5.0, rtol=1e-5)


def test_camera_info_is_that_of_the_image(node, client):
    client.warm_up(CameraInfo, 'depth/camera_info')
    frame = client.frame()
    message = client.answer(frame, 'depth/camera_info')
    np.testing.assert_array_equal(message.k, frame['camera_info'].k)
    assert (message.width, message.height) == (64, 48)


def test_the_cloud_is_organized_and_lies_on_the_wall(node, client):
    client.warm_up(PointCloud2, 'depth/points')
    cloud = client.answer(client.frame(), 'depth/points')
    xyz = decode_xyz(cloud).reshape(48, 64, 3)
    np.testing.assert_allclose(xyz[..., 2], 5.0, rtol=1e-5)
    np.testing.assert_allclose(xyz[24, 32, :2], 0.0, atol=1e-6)
    assert cloud.is_dense
    assert cloud.point_step == 32


def test_the_color_picture_is_bgr8(node, client):
    client.warm_up(Image, 'depth/image_color')
    message = client.answer(client.frame(), 'depth/image_color')
    assert message.encoding == 'bgr8'
    assert decode_color(message).shape == (48, 64, 3)


def test_depth_beyond_the_range_is_infinite(node, client):
    frame = client.frame()
    points = np.frombuffer(frame['points'].data, '<f4').copy() * 10.0  # the wall is now at 50 m
    frame['points'].data.frombytes(points.tobytes())
    del frame['points'].data[: points.nbytes]
    assert np.isposinf(decode_depth(client.answer(frame))).all()


def answered_status(client):
    """Return the values of ~/status for the next good frame."""
    client.warm_up(DiagnosticStatus, 'depth/status')
    frame = client.frame()
    client.answer(frame)
    stamp = frame['image'].header.stamp
    stamp_ns = str(stamp.sec * 1_000_000_000 + stamp.nanosec)

    def found():
        told = (values_of(status) for status in client.received['depth/status'])
        return next((values for values in told if values['stamp_ns'] == stamp_ns), None)

    return client.wait_for(found, 'the status of the frame')


def test_the_status_of_a_frame_tells_method_points_and_times(node, client):
    values = answered_status(client)
    assert values['method'] == 'nearest'
    assert int(values['prompt_points']) > 100
    assert float(values['latency_ms']) >= float(values['estimator_ms']) > 0.0
    assert int(values['frames_out']) >= 1


def test_a_frame_that_is_too_old_is_dropped_and_counted_as_stale(node, client):
    before = answered_status(client)
    old = client.frame()
    old['image'].header.stamp.sec -= 60
    # Best effort with room for one: a good image may take the place of the old one unseen.
    for _ in range(20):
        client.send(old)
        if int(answered_status(client)['stale']) > int(before['stale']):
            break
    else:
        pytest.fail('no stale frame was counted')
    assert old['image'].header not in [m.header for m in client.received['depth/image']]


def test_an_image_of_an_unknown_encoding_is_counted_as_bad_input(node, client):
    before = answered_status(client)
    broken = client.frame()
    broken['image'].encoding = 'unknown'
    seen = len(node.log)
    client.send(broken)
    node.wait_for_log('[image_encoding]', since=seen)
    assert int(answered_status(client)['bad_input']) == int(before['bad_input']) + 1


def test_diagnostics_name_a_silent_topic_and_how_long(node, client):
    client.subscribe(DiagnosticArray, '/diagnostics')
    message = client.wait_for(
        lambda: next(
            (
                m.status[0].message
                for m in client.received['/diagnostics']
                if '/points silent for' in m.status[0].message
            ),
            None,
        ),
        'a diagnostic about the silent LiDAR',
    )
    assert '(1 publishers)' in message
