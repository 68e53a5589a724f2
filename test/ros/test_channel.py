# SPDX-License-Identifier: Apache-2.0
"""What one camera of the node says of itself in /diagnostics."""

import time
from types import SimpleNamespace

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image

from metric_depth_ros.ros.channel import Channel
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.inputs import Inputs, create_assembly
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.ros.static_tree import StaticTree

SETTINGS = DEPTH_NODE.settings({'prompt.sources': []})


class Node:
    """A node without a middleware."""

    def get_name(self):
        return 'depth'

    def get_fully_qualified_name(self):
        return '/robot/depth'

    def resolve_topic_name(self, name):
        return f'/robot/{name}'

    def get_publishers_info_by_topic(self, name):
        return []

    def get_clock(self):
        now = SimpleNamespace(nanoseconds=time.time_ns())
        return SimpleNamespace(now=lambda: now)


@pytest.fixture
def channel():
    return Channel(Node(), '', lambda: SETTINGS, StaticTree({}, 'nothing'), FaultLog(print, 0.0))


def activate(channel):
    """Give a camera its inputs, without a thread that answers."""
    channel._assembly = create_assembly(SETTINGS)
    channel._inputs = Inputs(
        channel._node, SETTINGS, channel._assembly, channel.counters, channel._faults
    )


def image(frame_id, second):
    message = Image()
    message.header.frame_id, message.header.stamp.sec = frame_id, second
    return message


def test_diagnostics_name_the_camera_frame_as_the_status_of_a_frame_does(channel):
    activate(channel)
    assert channel.health().hardware_id == '/robot/depth'
    channel._inputs.on_image(image('front_optical', int(time.time())))
    assert channel.health().hardware_id == 'front_optical'
    channel.deactivate(0.0)
    assert channel.health().hardware_id == 'front_optical'


def test_an_image_that_is_refused_does_not_tell_the_camera_frame(channel):
    activate(channel)
    channel._inputs.on_image(image('nowhere', 0))
    assert channel.health().hardware_id == '/robot/depth'


def test_a_camera_that_is_not_active_says_so(channel):
    status = channel.health()
    assert (status.level, status.message) == (DiagnosticStatus.WARN, 'The node is not active.')


def test_faults_stand_in_diagnostics_by_topic_and_kind(channel):
    channel._faults.report('/robot/image', 'stamp_old', 'words')
    assert {v.key: v.value for v in channel.health().values}['/robot/image stamp_old'] == '1'
