# SPDX-License-Identifier: Apache-2.0
"""What one camera of the node says of itself in /diagnostics."""

import sys
import time
from types import MappingProxyType, SimpleNamespace

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CameraInfo, Image

from metric_depth_ros.ros import inputs
from metric_depth_ros.ros.channel import Channel
from metric_depth_ros.ros.diagnostics import FrameReport
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.inputs import Inputs, SharedStreams, create_assembly
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.ros.static_tree import StaticTree

SETTINGS = DEPTH_NODE.settings({'prompt.sources': []})


class Node:
    """A node without a middleware."""

    publishers = MappingProxyType({})  # nodes by topic

    def get_name(self):
        return 'depth'

    def get_fully_qualified_name(self):
        return '/robot/depth'

    def resolve_topic_name(self, name):
        return f'/robot/{name}'

    def get_publishers_info_by_topic(self, name):
        split = (node.rpartition('/') for node in self.publishers.get(name, ()))
        return [SimpleNamespace(node_namespace=ns or '/', node_name=n) for ns, _, n in split]

    def get_clock(self):
        now = SimpleNamespace(nanoseconds=time.time_ns())
        return SimpleNamespace(now=lambda: now)


@pytest.fixture
def channel():
    return Channel(Node(), '', lambda: SETTINGS, StaticTree({}, 'nothing'), FaultLog(print, 0.0))


def activate(channel, settings=SETTINGS):
    """Give a camera its inputs, without a thread that answers."""
    channel._assembly = create_assembly(settings)
    channel._inputs = Inputs(
        channel._node, settings, channel._assembly, channel.counters, channel._faults
    )


def image(frame_id, second, nanosec=0):
    message = Image()
    message.header.frame_id, message.header.stamp = frame_id, Time(sec=second, nanosec=nanosec)
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


def test_an_image_is_stored_with_its_age(channel, monkeypatch):
    now = SimpleNamespace(nanoseconds=1_800_000_000_750_000_000)
    monkeypatch.setattr(
        channel._node, 'get_clock', lambda: SimpleNamespace(now=lambda: now), raising=False
    )
    activate(channel)
    channel._assembly.set_limits(1.0, 0.0, 1.0)  # waits for no CameraInfo
    channel._inputs.on_image(image('camera', 1_800_000_000))
    assert channel._assembly.take().image.age_s == 0.75


def test_a_camera_that_is_not_active_says_so(channel):
    status = channel.health()
    assert (status.level, status.message) == (DiagnosticStatus.WARN, 'The node is not active.')


def test_faults_stand_in_diagnostics_by_topic_and_kind(channel):
    channel._faults.report('/robot/image', 'stamp_old', 'words')
    assert {v.key: v.value for v in channel.health().values}['/robot/image stamp_old'] == '1'


@pytest.fixture
def exact(monkeypatch):
    """A camera whose images wait for a CameraInfo of their stamp, and what it subscribes with."""

    class Synchronizer:
        """The exact one of message_filters, without a limit to what waits."""

        def __init__(self, filters, queue):
            self.waiting = [{} for _ in filters]
            for waiting, source in zip(self.waiting, filters, strict=True):
                source.signalMessage = lambda message, to=waiting: self.add(message, to)

        def add(self, message, waiting):
            stamp = message.header.stamp.sec, message.header.stamp.nanosec
            waiting[stamp] = message
            if all(stamp in others for others in self.waiting):
                self.complete(*(others.pop(stamp) for others in self.waiting))

        def registerCallback(self, callback):
            self.complete = callback

    stub = SimpleNamespace(SimpleFilter=SimpleNamespace, TimeSynchronizer=Synchronizer)
    monkeypatch.setitem(sys.modules, 'message_filters', stub)
    settings, receive = DEPTH_NODE.settings({'prompt.sources': [], 'sync.policy': 'exact'}), {}

    def subscribe(node, kind, topic, callback, profile, warn):
        receive[topic] = callback

    monkeypatch.setattr(inputs, 'subscribe', subscribe)
    camera = Channel(Node(), '', lambda: settings, StaticTree({}, 'nothing'), FaultLog(print, 0.0))
    activate(camera, settings)
    camera._inputs.open(settings)
    return camera, receive


def test_images_that_find_no_camera_info_of_their_stamp_are_told_with_the_parameter(exact):
    channel, receive = exact
    now_s = int(time.time())
    for nanosec in range(100):
        info = CameraInfo()
        info.header.stamp = Time(sec=now_s, nanosec=nanosec * 1000 + 1)
        receive['camera_info'](info)
        receive['image'](image('camera', now_s, nanosec * 1000))
    status = channel.health()
    assert status.level == DiagnosticStatus.WARN
    assert '/robot/image: the last 100 messages of image found no camera_info' in status.message
    assert 'set sync.policy to approximate or nearest' in status.message
    assert 'answered' not in status.message
    assert channel.counters['frames_in'] == 100

    info.header.stamp.nanosec = 1_000_000
    receive['camera_info'](info)
    receive['image'](image('camera', now_s, 1_000_000))
    assert 'found no' not in channel.health().message
    assert channel.counters['frames_in'] == 101


def test_a_camera_forgets_at_activation_how_its_frames_were_before(channel, monkeypatch):
    monkeypatch.setattr(channel, 'start_worker', lambda estimator: None)
    monkeypatch.setattr(Inputs, 'open', lambda self, settings: None)
    channel.counters.answered(FrameReport(1, 'nearest', 5.0, 0.0, 1.0, 3.0, 1.0, 0))
    channel.activate(None, SharedStreams())
    assert 'method' not in {v.key for v in channel.health().values}


def test_another_publisher_on_an_output_is_told_and_reported_once(channel, monkeypatch, capsys):
    activate(channel)
    alone = ('/robot/depth', '/_NODE_NAME_UNKNOWN_')
    monkeypatch.setattr(Node, 'publishers', {'depth/camera_info': alone})
    assert 'too' not in channel.health().message
    monkeypatch.setattr(Node, 'publishers', {'depth/camera_info': (*alone, '/front')})
    for _ in range(2):
        status = channel.health()
        assert '/robot/depth/camera_info is published by /front too' in status.message
        assert 'parameter cameras' in status.message
    assert capsys.readouterr().out.count('[shared_topic]') == 1
    monkeypatch.setattr(Node, 'publishers', {})
    assert 'too' not in channel.health().message


def test_the_status_of_a_camera_names_the_namespace_of_its_node(channel):
    assert channel.health().name == 'robot/depth: frames'


def test_only_what_a_camera_info_says_is_compared():
    content = create_assembly(SETTINGS)._sources['camera_info'].content
    first, later, zoomed = CameraInfo(), CameraInfo(), CameraInfo()
    later.header.stamp = Time(sec=9)
    zoomed.k[0] = 7.0
    assert content(first) == content(later) != content(zoomed)


def test_every_fault_is_told_with_its_camera_or_with_all():
    faults = FaultLog(lambda line: None, 0.0)
    front, rear = (
        Channel(Node(), name, lambda: SETTINGS, StaticTree({}, 'nothing'), faults)
        for name in ('front', 'rear')
    )
    for topic in ('front/image', 'front/depth/points', '~/rear/status'):
        faults.report(f'/robot/{topic}', 'x', 'words')
    faults.report('depth', 'internal', 'a defect of the node')

    def told(channel, other):
        status = channel.health(other.topics - channel.topics)
        return {v.key.removeprefix('/robot/') for v in status.values if ' ' in v.key}

    assert told(front, rear) == {'front/image x', 'front/depth/points x', 'depth internal'}
    assert told(rear, front) == {'~/rear/status x', 'depth internal'}
