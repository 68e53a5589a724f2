# SPDX-License-Identifier: Apache-2.0
"""What every node says of itself in each state, without a process of its own."""

from types import SimpleNamespace

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy

from metric_depth_ros.ros import depth_node
from metric_depth_ros.ros.depth_node import DepthNode
from metric_depth_ros.ros.query_node import QueryNode
from metric_depth_ros.ros.realsense.node import RealsenseNode
from metric_depth_ros.ros.reconstruct_node import ReconstructNode

INACTIVE = 'The node is not active.'


@pytest.fixture
def make():
    """Return a function that makes a node with parameters and remaps of a command line."""
    made = []

    def start(kind, parameters=(), remaps=()):
        arguments = ['--ros-args']
        for flag, given in (('-p', parameters), ('-r', remaps)):
            arguments += [part for words in given for part in (flag, words)]
        rclpy.init(args=arguments)
        made.append(kind())
        return made[0]

    yield start
    for node in made:
        node.release()
        node.destroy_node()
    rclpy.try_shutdown()


@pytest.fixture(params=[DepthNode, QueryNode])
def node(request, make):
    made = make(request.param, ['prompt.sources:=[]'])
    assert made.trigger_configure() == TransitionCallbackReturn.SUCCESS
    return made


def told(node, monkeypatch):
    """Return what the node tells when its timer is due."""
    assert node._health_timer in list(node.timers)
    assert node._health_publisher in list(node.publishers)
    messages = []
    with monkeypatch.context() as patch:
        patch.setattr(node, '_health_publisher', SimpleNamespace(publish=messages.append))
        node._health_timer.callback()
    return messages[0].status


def test_a_node_says_that_it_is_not_active_until_it_is_and_once_it_is_no_more(node):
    assert [s.message for s in node._health()] == [INACTIVE]
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert INACTIVE not in node._health()[0].message
    node.trigger_deactivate()
    assert [s.message for s in node._health()] == [INACTIVE]


def test_a_node_that_cannot_be_activated_stays_inactive(node, monkeypatch):
    def fail():
        raise RuntimeError('no')

    monkeypatch.setattr(node, '_activate', fail)
    node.trigger_activate()
    assert not node._active


def test_health_shows_every_fault_by_topic_and_kind(node):
    node._faults.report('/image', 'stamp_old', 'words')
    shown = {v.key: v.value for v in node._health()[0].values}
    assert shown['/image stamp_old'] == '1'


@pytest.mark.parametrize(
    ('kind', 'name'),
    [
        (DepthNode, 'depth: frames'),
        (QueryNode, 'query: answers'),
        (ReconstructNode, 'reconstruct: surface'),
        (RealsenseNode, 'camera: camera'),
    ],
)
def test_a_node_that_cannot_be_configured_says_why_and_before_that_it_is_not_active(
    make, monkeypatch, kind, name
):
    node = make(kind, ['diagnostics.period_s:=soon'])
    (status,) = told(node, monkeypatch)
    assert (status.name, status.level, status.message) == (name, DiagnosticStatus.WARN, INACTIVE)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    (status,) = told(node, monkeypatch)
    assert (status.name, status.level) == (name, DiagnosticStatus.ERROR)
    assert f"{INACTIVE} It cannot configure: parameter diagnostics.period_s is 'soon'" in (
        status.message
    )


def test_nodes_of_different_namespaces_have_statuses_of_different_names(make, monkeypatch):
    node = make(QueryNode, remaps=['__ns:=/robot1'])
    assert [s.name for s in told(node, monkeypatch)] == ['robot1/query: answers']
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert [s.name for s in told(node, monkeypatch)] == ['robot1/query: answers']


def test_snapshots_of_robots_in_one_simulation_have_names_of_their_own(make, monkeypatch):
    node = make(DepthNode, ['prompt.sources:=[]'], ['__ns:=/robot1'])
    image = SimpleNamespace(arrived_s=1.0)
    answered = SimpleNamespace(bundle=SimpleNamespace(image=image))
    node._channels = [SimpleNamespace(newest=answered, camera='arm/left')]
    monkeypatch.setattr(depth_node, 'save_snapshot', lambda newest, root, prefix: prefix)
    assert node._save_snapshot() == 'robot1_depth_arm_left'
    node._channels = []


def test_each_camera_is_told_of_where_the_node_cannot_be_configured(make, monkeypatch):
    node = make(DepthNode, ['cameras:=[front, rear]', 'extrinsics.source:=file'])
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    statuses = told(node, monkeypatch)
    assert [s.name for s in statuses] == ['depth: front', 'depth: rear']
    assert all('extrinsics.path' in s.message for s in statuses)


def test_a_node_that_was_corrected_is_well_and_tells_so_as_often_as_it_is_set_to(
    make, monkeypatch
):
    node = make(DepthNode, ['prompt.sources:=[]', 'estimator:=magic'])
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    node.set_parameters(
        [Parameter('estimator', value='nearest'), Parameter('diagnostics.period_s', value=0.25)]
    )
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node._health_timer.timer_period_ns == 250_000_000
    (status,) = told(node, monkeypatch)
    assert (status.level, status.message) == (DiagnosticStatus.WARN, INACTIVE)
    node.trigger_activate()
    assert INACTIVE not in told(node, monkeypatch)[0].message
    node.trigger_deactivate()
    node.trigger_cleanup()
    (status,) = told(node, monkeypatch)
    assert (status.level, status.message) == (DiagnosticStatus.WARN, INACTIVE)


def test_a_node_that_cannot_be_activated_says_why(make, monkeypatch):
    override = 'qos_overrides./image.subscription.depth:=-3'
    node = make(DepthNode, ['prompt.sources:=[]', override])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    (status,) = told(node, monkeypatch)
    assert status.level == DiagnosticStatus.ERROR
    assert 'It cannot activate: /image' in status.message
    node.trigger_cleanup()
    assert told(node, monkeypatch)[0].message == INACTIVE


def test_a_defect_that_fails_a_transition_is_told(make, monkeypatch):
    def fail():
        raise RuntimeError('no')

    node = make(DepthNode, ['prompt.sources:=[]'])
    monkeypatch.setattr(node, '_configure', fail)
    node.trigger_configure()
    (status,) = told(node, monkeypatch)
    assert status.level == DiagnosticStatus.ERROR
    assert "It cannot configure, a defect: RuntimeError('no')" in status.message


def test_quality_of_service_for_topics_that_a_node_does_not_have_is_reported(make, monkeypatch):
    prefix = 'qos_overrides.'
    given = {
        '/image.subscription.reliability': 'reliable',  # the name before remapping
        '/camera/raw.subscription.liveliness': 'automatic',
        '/diagnostics.publisher.depth': 1,
        '/camera/raw.subscription.reliability': 'reliable',
        '/depth/status.publisher.reliability': 'best_effort',
        '/depth/image.publisher.depth': 5,
    }
    node = make(
        DepthNode,
        ['prompt.sources:=[]', *(f'{prefix}{name}:={value}' for name, value in given.items())],
        ['image:=/camera/raw'],
    )
    lines = []
    logger = SimpleNamespace(info=lambda line: None, warning=lines.append)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    monkeypatch.setattr(node, 'get_logger', lambda: logger)
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    (line,) = [line for line in lines if prefix in line]
    ignored, _, expected = line.partition(': of no topic in use, expected ')
    assert ignored.split(', ') == [prefix + name for name in list(given)[:3]]
    assert '/camera/raw.subscription, ' in expected
    assert 'POLICY of depth, durability, history, reliability and' in expected
    status = node._channels[0]._status
    assert status.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


def test_nothing_is_said_of_quality_of_service_that_holds(make):
    node = make(DepthNode, ['prompt.sources:=[]', 'qos_overrides./depth/image.publisher.depth:=5'])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node._declared.unused_overrides() == ''
