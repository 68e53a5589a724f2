# SPDX-License-Identifier: Apache-2.0
"""Bad input to a live node: one report by topic and fault, and the next good frame answered."""

from array import array

import numpy as np
import pytest
from rclpy.serialization import serialize_message

from metric_depth_ros.codecs.image import decode_depth

S = 1_000_000_000


@pytest.fixture(scope='module')
def node(start_node, client):
    node = start_node({'prompt.max_points': 1000})
    client.connect()
    return node


def set_stamp(message, stamp_ns):
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, S)


def unknown_encoding(frame):
    frame['image'].encoding = 'jpeg2000'


def short_data(frame):
    frame['image'].data = frame['image'].data[:-1]


def zero_size(frame):
    frame['image'].width = frame['image'].height = frame['image'].step = 0
    frame['image'].data = array('B')


def small_step(frame):
    frame['image'].step = 10


def uncalibrated(frame):
    frame['camera_info'].k = [0.0] * 9


def other_size(frame):
    frame['camera_info'].width = 640


def missing_field(frame):
    frame['points'].fields = frame['points'].fields[:2]


def truncated_cloud(frame):
    frame['points'].data = frame['points'].data[:-5]


def nan_cloud(frame):
    count = frame['points'].width * 3
    frame['points'].data = array('B', np.full(count, np.nan, '<f4').tobytes())


def infinite_cloud(frame):
    count = frame['points'].width * 3
    frame['points'].data = array('B', np.full(count, np.inf, '<f4').tobytes())


def empty_cloud(frame):
    frame['points'].width = frame['points'].row_step = 0
    frame['points'].data = array('B')


def huge_cloud(frame):
    frame['points'].width, frame['points'].row_step = 1001, 1001 * 12
    frame['points'].data = array('B', bytes(1001 * 12))


def unknown_frame(frame):
    frame['points'].header.frame_id = 'radar'


def zero_stamp(frame):
    set_stamp(frame['image'], 0)


def negative_stamp(frame):
    set_stamp(frame['image'], -5 * S)


def old_stamp(frame):
    stamp = frame['image'].header.stamp
    set_stamp(frame['image'], (stamp.sec - 60) * S)


def future_stamp(frame):
    stamp = frame['image'].header.stamp
    set_stamp(frame['image'], (stamp.sec + 60) * S)


def backward_stamp(frame):
    stamp = frame['image'].header.stamp
    set_stamp(frame['image'], stamp.sec * S + stamp.nanosec - S // 2)


CASES = [
    (unknown_encoding, '/image [image_encoding]', 'rgb8'),
    (short_data, '/image [image_data]', 'truncated'),
    (zero_size, '/image [image_size]', '0x0'),
    (small_step, '/image [image_step]', '192'),
    (uncalibrated, '/camera_info [camera_uncalibrated]', 'Calibrate'),
    (other_size, '/camera_info [camera_size]', '640x48'),
    (missing_field, '/points [cloud_fields]', "'z'"),
    (truncated_cloud, '/points [cloud_data]', 'truncated'),
    (nan_cloud, '/points [cloud_not_in_view]', '(0 finite)'),
    (infinite_cloud, '/points [cloud_not_in_view]', '(0 finite)'),
    (empty_cloud, '/points [cloud_empty]', 'no points'),
    (huge_cloud, '/points [cloud_too_large]', 'prompt.max_points'),
    (unknown_frame, '/points [transform_missing]', 'extrinsics.path'),
    (zero_stamp, '/image [stamp_zero]', 'header.stamp'),
    (negative_stamp, '/image [stamp_zero]', 'header.stamp'),
    (old_stamp, '/image [stamp_old]', 'max_frame_age_s'),
    (future_stamp, '/image [stamp_future]', 'max_frame_age_s'),
    (backward_stamp, '/image [stamp_backward]', 'begins anew'),
]


@pytest.mark.parametrize(
    ('spoil', 'report', 'words'), CASES, ids=lambda v: getattr(v, '__name__', '')
)
def test_bad_input_is_reported_and_the_next_good_frame_answered(
    node, client, spoil, report, words
):
    client.answer(client.frame())
    seen = len(node.log)
    bad = client.frame()
    spoil(bad)
    client.send(bad)
    log = node.wait_for_log(report, since=seen)[seen:]
    assert words in next(line for line in log.splitlines() if report in line)
    depth = decode_depth(client.answer(client.frame()))
    np.testing.assert_allclose(depth, 5.0, rtol=1e-5)


def test_a_frame_without_points_is_answered_with_unknown_depth(node, client):
    client.answer(client.frame())
    frame = client.frame(client.now_ns() + S // 2)
    del frame['points']
    assert np.isnan(decode_depth(client.answer(frame))).all()


@pytest.mark.parametrize('stream', ['image', 'points'])
def test_bytes_that_are_no_message_are_reported_and_the_next_good_frame_answered(
    node, client, stream
):
    since = len(node.log)
    good = client.frame()
    whole = serialize_message(good[stream])
    client.publisher(type(good[stream]), stream).publish(whole[: len(whole) // 2])
    assert f'/{stream} [serialized]' in node.wait_for_log('[serialized]', since)
    assert client.answer(client.frame()).width == 64
