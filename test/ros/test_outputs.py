# SPDX-License-Identifier: Apache-2.0
"""Outputs are computed only when somebody listens."""

import tracemalloc

import numpy as np
import pytest
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from metric_depth_ros.ros import outputs as outputs_module
from metric_depth_ros.ros.limits import limited_depth
from metric_depth_ros.ros.messages import MessageBuffer
from metric_depth_ros.ros.outputs import Outputs
from metric_depth_ros.ros.parameters import DepthSettings
from metric_depth_ros.types import CameraModel, DepthEstimate, Frame, SparsePrompt

CAMERA = CameraModel.pinhole(8, 6, 10.0, 10.0, 3.5, 2.5)
PROMPT = SparsePrompt.empty()
FRAME = Frame(1, 'camera', np.zeros((6, 8, 3), np.uint8), CAMERA, PROMPT)
DEPTH = np.full((6, 8), 2.0, np.float32)
ESTIMATE = DepthEstimate(DEPTH, np.ones_like(DEPTH), CAMERA, 'test')


@pytest.fixture
def outputs(client):
    outputs = Outputs(client.node, lambda *_: None)
    outputs.open()
    yield outputs
    outputs.close()


def publish(outputs, encoding='32FC1'):
    limited = limited_depth(ESTIMATE, 100.0, 0.0)
    outputs.publish(Header(frame_id='camera'), FRAME, ESTIMATE, limited, DepthSettings(encoding))


@pytest.fixture
def computed(monkeypatch):
    """Names of what computes an output, as it is called."""
    called = []

    def noted(name, encode):
        def call(*args, **kwargs):
            called.append(name)
            return encode(*args, **kwargs)

        return call

    for name in (
        'encode_depth', 'encode_mono', 'encode_organized', 'encode_cloud', 'depth_picture',
    ):  # fmt: skip
        monkeypatch.setattr(outputs_module, name, noted(name, getattr(outputs_module, name)))
    return called


def listen(client, outputs, kind, topic, prefix=''):
    subscription = client.node.create_subscription(
        kind, prefix + topic, client.received[topic].append, 10
    )
    publisher = outputs._publishers[topic]
    client.wait_for(publisher.get_subscription_count, f'a subscriber of {topic}')
    return subscription


def test_nothing_is_computed_without_subscribers(outputs, computed):
    publish(outputs)
    assert computed == []


@pytest.mark.parametrize(
    ('topic', 'kind', 'encoder'),
    [
        ('depth/image', Image, 'encode_depth'),
        ('depth/points', PointCloud2, 'encode_organized'),
        ('depth/points_voxels', PointCloud2, 'encode_cloud'),
        ('depth/confidence', Image, 'encode_mono'),
        ('depth/image_color', Image, 'depth_picture'),
        ('depth/prompt', Image, 'encode_mono'),
    ],
)
def test_only_what_is_subscribed_is_computed(client, outputs, computed, topic, kind, encoder):
    subscription = listen(client, outputs, kind, topic)
    publish(outputs)
    assert computed == [encoder]
    client.node.destroy_subscription(subscription)


def test_depth_can_be_published_in_millimeters(client, outputs):
    subscription = listen(client, outputs, Image, 'depth/image')
    del client.received['depth/image'][:]
    publish(outputs, '16UC1')
    message = client.wait_for(
        lambda: next((m for m in client.received['depth/image'] if m.encoding == '16UC1'), None)
    )
    assert np.frombuffer(message.data, '<u2').tolist() == [2000] * 48
    client.node.destroy_subscription(subscription)


def test_a_message_that_does_not_fit_into_shared_memory_is_reported(client, monkeypatch, tmp_path):
    profile = tmp_path / 'small.xml'
    profile.write_text('<dds><segment_size> 100 </segment_size></dds>')
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', str(profile))
    reports = []
    outputs = Outputs(client.node, lambda *report: reports.append(report), 'big')
    outputs.open()
    subscription = listen(client, outputs, Image, 'depth/image', 'big/')
    publish(outputs)
    ((topic, fault, sentence),) = reports
    assert (topic, fault) == ('/big/depth/image', 'too_large')
    assert 'fastdds_large.xml' in sentence
    client.node.destroy_subscription(subscription)
    outputs.close()


def test_a_message_whose_size_is_its_own_takes_its_data_in_one_copy():
    data = np.arange(1 << 20, dtype=np.uint32).view(np.uint8)
    tracemalloc.start()
    try:
        held = MessageBuffer.holding(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held.array.tobytes() == data.tobytes()
    assert peak < 1.5 * data.size


def test_rows_that_lie_apart_become_one_message():
    data = np.arange(24, dtype=np.uint8).reshape(4, 6)[:, ::2]
    assert MessageBuffer.holding(data).array.tobytes() == data.tobytes()
