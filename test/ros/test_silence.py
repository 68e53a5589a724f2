# SPDX-License-Identifier: Apache-2.0
"""What is told of topics that send nothing."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image, PointCloud2

from metric_depth_ros.ros import silence
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.silence import Silence

CLOUD, IMAGE = 'sensor_msgs/msg/PointCloud2', 'sensor_msgs/msg/Image'
STREAMS = {'image': ('image', Image), 'points': ('points', PointCloud2)}


class Graph:
    """A node that sees publishers of these types on every topic."""

    def __init__(self, *types):
        self._types = types

    def get_publishers_info_by_topic(self, name):
        return [SimpleNamespace(topic_type=kind) for kind in self._types]


@pytest.fixture
def logged():
    return []


@pytest.fixture
def silence_of(logged):
    return lambda *types: Silence(Graph(*types), STREAMS, FaultLog(logged.append, 0.0))


def test_a_topic_of_another_type_is_told_with_both_types_and_the_remap(silence_of):
    level, sentence = silence_of(CLOUD).problem('image', '/lidar', None)
    assert level == DiagnosticStatus.ERROR
    assert sentence.startswith('/lidar never sent (1 publishers)')
    assert f'published as {CLOUD}, expected {IMAGE}' in sentence
    assert '-r image:=TOPIC' in sentence


def test_a_topic_that_nobody_publishes_is_told_with_the_remap(silence_of):
    level, sentence = silence_of().problem('points', '/points', None)
    assert level == DiagnosticStatus.WARN
    assert '(0 publishers)' in sentence
    assert '-r points:=TOPIC' in sentence


def test_a_publisher_of_the_right_type_that_is_silent_needs_no_remap(silence_of):
    problem = silence_of(CLOUD).problem('points', '/points', 2.0)
    assert problem == (DiagnosticStatus.WARN, '/points silent for 2.0 s (1 publishers).')


def test_a_topic_that_never_sent_is_logged_once(silence_of, logged, monkeypatch):
    monkeypatch.setattr(silence, '_LOGGED_AFTER_S', -1.0)
    quiet = silence_of(CLOUD)
    for _ in range(3):
        quiet.problem('image', '/image', None)
        quiet.problem('points', '/points', None)
        quiet.problem('points', '/heard', 9.0)
    told = [line.partition(':')[0] for line in logged]
    assert told == ['/image [never_sent]', '/points [never_sent]']


def test_a_node_that_has_just_begun_logs_no_silence(silence_of, logged, monkeypatch):
    monkeypatch.setattr(silence, '_LOGGED_AFTER_S', 3600.0)
    silence_of().problem('image', '/image', None)
    assert logged == []


def test_a_sensor_of_one_hertz_is_not_silent_however_often_health_is_told():
    arrived_s = [0.0, 0.6, 2.3, 2.9, 4.4, 5.0]  # jittered: one comes early, the next one late
    longest_s = max(later - earlier for earlier, later in pairwise(arrived_s))
    for period_s in (0.05, 0.5, 1.0):
        assert longest_s < silence.silent_after_s(period_s)
    assert silence.silent_after_s(5.0) == 10.0
