# SPDX-License-Identifier: Apache-2.0
"""What the query node subscribes to for what answers, and which silence of it is a problem."""

import math
from types import SimpleNamespace

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.query_inputs import QueryInputs
from metric_depth_ros.ros.query_models import QueryModels
from metric_depth_ros.ros.query_parameters import QUERY_NODE

DEPTH = ['depth/image', 'depth/camera_info']
SEEING = SimpleNamespace(recovers_camera=False)
FINDING = SimpleNamespace(recovers_camera=True)
SPEAKING = SimpleNamespace()


class Middleware:
    """What a node is to subscriptions: topics that nobody publishes, and one that cannot be."""

    def __init__(self, impossible=''):
        self.open = {}
        self._impossible = impossible

    def resolve_topic_name(self, topic):
        return f'/{topic}'

    def get_publishers_info_by_topic(self, topic):
        return []

    def create_subscription(self, kind, topic, callback, profile, *, raw, **events):
        if topic == self._impossible:
            raise RuntimeError('no such thing')
        self.open[topic] = (callback, raw)
        return topic

    def destroy_subscription(self, topic):
        del self.open[topic]

    def send(self, topic, message):
        callback, raw = self.open[topic]
        callback(serialize_message(message) if raw else message)


def inputs_of(node, estimator=None, speaker=None):
    models, faults = QueryModels(estimator, speaker), FaultLog(lambda line: None, 0.0)
    return QueryInputs(node, QUERY_NODE.settings({}), models, faults, lambda: None)


def silent(inputs, limit_s=math.inf):
    """Return the topics that are silent."""
    return [sentence.split()[0].lstrip('/') for _, sentence in inputs.problems(limit_s)]


@pytest.mark.parametrize(
    ('models', 'opened', 'missed'),
    [
        ({}, [*DEPTH, 'depth/confidence'], DEPTH),
        ({'estimator': SEEING}, ['image', 'camera_info'], ['image', 'camera_info']),
        ({'estimator': FINDING}, ['image', 'camera_info'], ['image']),
        (
            {'estimator': FINDING, 'speaker': SPEAKING},
            ['image', 'camera_info'],
            ['image', 'camera_info'],
        ),
        (
            {'speaker': SPEAKING},
            [*DEPTH, 'depth/confidence', 'image', 'camera_info'],
            [*DEPTH, 'image', 'camera_info'],
        ),
    ],
    ids=['depth', 'camera needed', 'camera found', 'words of images', 'depth and words'],
)
def test_what_answers_decides_what_is_subscribed_to_and_what_is_missed(models, opened, missed):
    node = Middleware()
    inputs = inputs_of(node, **models)
    inputs.open()
    assert list(node.open) == opened
    assert silent(inputs) == missed
    inputs.close()
    assert not node.open


def test_images_that_stop_are_told_and_a_camera_info_need_come_only_once():
    node = Middleware()
    inputs = inputs_of(node, SEEING)
    inputs.open()
    node.send('image', Image())
    node.send('camera_info', CameraInfo())
    assert silent(inputs) == []
    ((level, sentence),) = inputs.problems(-1.0)
    assert level == DiagnosticStatus.ERROR
    assert sentence.startswith('/image silent for ')


@pytest.mark.parametrize('impossible', ['depth/camera_info', 'image', 'camera_info'])
def test_one_topic_that_cannot_be_subscribed_to_leaves_none(impossible):
    node = Middleware(impossible)
    with pytest.raises(InputError, match='/' + impossible):
        inputs_of(node, speaker=SPEAKING).open()
    assert not node.open
