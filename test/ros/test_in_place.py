# SPDX-License-Identifier: Apache-2.0
"""Large messages are read where they lie, in every node, and damaged ones cost what they must."""

from array import array

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from metric_depth_ros.codecs.cdr import WireCompressedImage, WireImage
from metric_depth_ros.ros.dense_depth import CAMERA_INFO, COLOR, CONFIDENCE, DEPTH, decode_dense
from metric_depth_ros.ros.diagnostics import Counters
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.inputs import Inputs, create_assembly
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.ros.stream_subscriptions import StreamSubscriptions

SIZE = (6, 4)


class Middleware:
    """What a node is to subscriptions: it hands over what is sent, as bytes where they ask."""

    def __init__(self):
        self._callbacks = {}

    def resolve_topic_name(self, topic):
        return f'/{topic}'

    def create_subscription(self, kind, topic, callback, profile, *, raw, **events):
        self._callbacks[topic] = (kind, callback, raw)

    def send(self, topic, message):
        kind, callback, raw = self._callbacks[topic]
        assert isinstance(message, kind)
        callback(serialize_message(message) if raw else message)

    def send_bytes(self, topic, data):
        kind, callback, raw = self._callbacks[topic]
        assert raw, f'rclpy converts every {kind.__name__}'
        callback(data)


def float_image(values):
    message = Image(width=SIZE[0], height=SIZE[1], encoding='32FC1', step=4 * SIZE[0])
    message.header.frame_id = 'camera'
    message.data = array('B', values.astype('<f4').tobytes())
    return message


def test_outputs_of_a_depth_node_are_read_in_place_by_whoever_takes_them():
    middleware, faults, received = Middleware(), FaultLog(lambda line: None, 0.0), {}
    streams = {
        DEPTH: (DEPTH, Image),
        CAMERA_INFO: (CAMERA_INFO, CameraInfo),
        CONFIDENCE: (CONFIDENCE, Image),
        COLOR: (COLOR, Image),
        'compressed': ('image/compressed', CompressedImage),
    }
    StreamSubscriptions(middleware, streams, 2, faults).open(received.__setitem__)
    depth = np.arange(1, 25, dtype=np.float32).reshape(SIZE[::-1])
    info = CameraInfo(width=SIZE[0], height=SIZE[1], distortion_model='plumb_bob')
    info.k = [5.0, 0.0, 2.5, 0.0, 5.0, 1.5, 0.0, 0.0, 1.0]
    color = Image(width=SIZE[0], height=SIZE[1], encoding='rgb8', step=3 * SIZE[0])
    color.data = array('B', range(72))
    middleware.send(DEPTH, float_image(depth))
    middleware.send(CAMERA_INFO, info)
    middleware.send(CONFIDENCE, float_image(depth / 25))
    middleware.send(COLOR, color)
    middleware.send('image/compressed', CompressedImage(format='jpeg'))
    assert all(isinstance(received[stream], WireImage) for stream in (DEPTH, CONFIDENCE, COLOR))
    assert isinstance(received['compressed'], WireCompressedImage)
    dense = decode_dense(7, received)
    assert (dense.stamp_ns, dense.frame_id) == (7, 'camera')
    np.testing.assert_array_equal(dense.depth, depth)
    np.testing.assert_array_equal(dense.confidence, depth / np.float32(25))
    np.testing.assert_array_equal(dense.image.ravel(), range(72))
    assert faults.counts() == {}


def test_bytes_that_are_no_message_are_reported_and_dropped():
    middleware, faults, received = Middleware(), FaultLog(lambda line: None, 0.0), []
    streams = StreamSubscriptions(middleware, {DEPTH: (DEPTH, Image)}, 2, faults)
    streams.open(lambda stream, message: received.append(message))
    middleware.send_bytes(DEPTH, b'\0\1\0\0\1')
    assert received == []
    assert faults.counts() == {('/depth/image', 'serialized'): 1}


@pytest.mark.parametrize(('topic', 'bad_frames'), [('image', 1), ('points', 0), ('radar', 0)])
def test_damaged_messages_are_reported_and_only_images_counted_as_frames(topic, bad_frames):
    middleware, faults = Middleware(), FaultLog(lambda line: None, 0.0)
    counters = Counters()
    settings = DEPTH_NODE.settings({'prompt.sources': ['points', 'radar']})
    assembly = create_assembly(settings)
    Inputs(middleware, settings, assembly, counters, faults).open(settings)
    middleware.send_bytes(topic, serialize_message(PointCloud2())[:20])
    assert counters.totals(0)['bad_input'] == bad_frames
    assert faults.counts() == {(f'/{topic}', 'serialized'): 1}
    assert assembly.silent_s(topic) is not None
