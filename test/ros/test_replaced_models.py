# SPDX-License-Identifier: Apache-2.0
"""Estimators that are replaced while the node lives: abandoned, slow and hanging ones.

The nodes are in this process and nobody spins them: what a topic brings is handed to them.
"""

import threading
from array import array

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PointStamped
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.ros import depth_node, query_node
from metric_depth_ros.ros.query_models import QueryModels
from metric_depth_ros.types import DepthEstimate

DEADLINE_S = 30.0


@pytest.fixture
def start():
    """Return a function that configures and activates a node; it is released with the test."""
    nodes = []

    def make(kind, **parameters):
        given = [f'{name.replace("__", ".")}:={value}' for name, value in parameters.items()]
        rclpy.init(args=['--ros-args', *(word for text in given for word in ('-p', text))])
        node = kind()
        nodes.append(node)
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        return node

    yield make
    for node in nodes:
        node.release()
        node.destroy_node()
    rclpy.try_shutdown()


class Model(Estimator):
    """A model that answers 2 m everywhere, once it is let through."""

    name = 'model'

    def __init__(self):
        self.asked, self.gate = threading.Event(), threading.Event()

    def estimate(self, frame):
        self.asked.set()
        self.gate.wait()
        depth = np.full(frame.image.shape[:2], 2.0, np.float32)
        return DepthEstimate(depth, None, frame.camera, self.name)


class Ends:
    """What becomes of the questions to a query node."""

    def __init__(self, node):
        self.ends = []
        self._one_more = threading.Semaphore(0)
        node._outputs.tell_point = lambda found, values: self._note(found)
        node._outputs.refuse = lambda topic, error, values, **_: self._note(error)

    def _note(self, end):
        self.ends.append(end)
        self._one_more.release()

    def next(self):
        assert self._one_more.acquire(timeout=DEADLINE_S)
        return self.ends[-1]


def show_image(node):
    image = Image(width=8, height=6, encoding='rgb8', step=24)
    image.data = array('B', bytes(144))
    image.header.frame_id = 'camera'
    info = CameraInfo(width=8, height=6, distortion_model='plumb_bob')
    info.k = [8.0, 0.0, 3.5, 0.0, 8.0, 2.5, 0.0, 0.0, 1.0]
    for stream, message in (('image', image), ('camera_info', info)):
        message.header.stamp.sec = 10
        node._inputs.image._store(stream, message)


def ask(node):
    pixel = PointStamped()
    pixel.point.x, pixel.point.y = 3.5, 2.5
    node._on_pixel(pixel)


@pytest.fixture
def models(monkeypatch):
    """Return models by the name of the estimator that the query node asks for."""
    found = {'compact_student': Model(), 'student_pointmap': Model()}
    monkeypatch.setattr(
        query_node,
        'models_from',
        lambda settings: QueryModels(found.get(settings.estimator), None),
    )
    yield found
    for model in found.values():
        model.gate.set()


def test_a_model_that_replaces_a_hanging_one_answers(start, models):
    node = start(query_node.QueryNode, estimator='compact_student', max_age_s=0.0)
    told = Ends(node)
    show_image(node)
    ask(node)
    assert models['compact_student'].asked.wait(DEADLINE_S)
    assert node.set_parameters([Parameter('estimator', value='student_pointmap')])[0].successful
    assert 'the model was replaced' in str(told.next())
    models['student_pointmap'].gate.set()
    show_image(node)
    ask(node)
    assert told.next().point[2] == 2.0


def subscribed(node):
    return sorted(s.topic_name for s in node.subscriptions)


def test_a_model_that_replaces_depth_has_its_own_topics_and_no_others(start, models):
    node = start(query_node.QueryNode)
    of_depth = subscribed(node)
    assert node.set_parameters([Parameter('estimator', value='compact_student')])[0].successful
    seen = {'/image', '/camera_info'}
    assert set(subscribed(node)) ^ set(of_depth) == seen | {
        '/depth/image',
        '/depth/camera_info',
        '/depth/confidence',
    }
    assert '/image never sent' in node._health()[0].message
    assert node.set_parameters([Parameter('estimator', value='dense')])[0].successful
    assert subscribed(node) == of_depth


def test_a_model_whose_images_cannot_be_had_is_refused_and_all_stays_as_it_is(start, models):
    override = 'qos_overrides./camera_info.subscription.reliability'
    node = start(query_node.QueryNode, **{override: 'bogus'})
    before, answering, inputs = subscribed(node), node._models, node._inputs
    for _ in range(2):
        result = node.set_parameters([Parameter('estimator', value='compact_student')])[0]
        assert not result.successful
        assert 'correct the parameters qos_overrides./camera_info' in result.reason
        assert node.get_parameter('estimator').value == 'dense'
        assert subscribed(node) == before
        assert (node._models, node._inputs) == (answering, inputs)


class Tree:
    """A moving frame: who asks `knows` whether it is known at this moment."""

    problem = ''

    def __init__(self, knows):
        self.asked = []
        self._knows = knows

    def lookup_at(self, target, source, stamp_ns, *, wait=True):
        self.asked.append((target, source, stamp_ns, wait))
        if not self._knows(wait):
            raise InputError('transform_missing', 'not known')
        moved = np.eye(4)
        moved[2, 3] = 5.0
        return moved

    def clear(self):
        """Nothing to forget."""

    def close(self):
        """Nothing to release."""


def answer_in_map(start, models, monkeypatch, knows):
    """Return how a question in the frame map ends, and what was asked of the tree."""
    tree = Tree(knows)
    monkeypatch.setattr(query_node, 'create_transforms', lambda settings, node: tree)
    given = {'estimator': 'compact_student', 'max_age_s': 0.0, 'target_frame': 'map'}
    node = start(query_node.QueryNode, **given)
    told = Ends(node)
    models['compact_student'].gate.set()
    show_image(node)
    ask(node)
    return told.next(), tree.asked


def test_the_way_to_the_target_frame_is_found_before_a_slow_model_answers(
    start, models, monkeypatch
):
    model = models['compact_student']  # by the time that it has answered, tf2 has forgotten
    found, asked = answer_in_map(start, models, monkeypatch, lambda wait: not model.asked.is_set())
    assert (found.frame_id, found.point[2]) == ('map', 7.0)
    assert asked == [('map', 'camera', 10_000_000_000, False)]


def test_a_transform_that_arrives_after_the_question_is_waited_for(start, models, monkeypatch):
    found, asked = answer_in_map(start, models, monkeypatch, lambda wait: wait)
    assert found.frame_id == 'map'
    assert [wait for *_, wait in asked] == [False, True]


def test_a_question_without_a_way_to_the_target_frame_costs_no_model(start, models, monkeypatch):
    refusal, _ = answer_in_map(start, models, monkeypatch, lambda wait: False)
    assert refusal.fault == 'transform_missing'
    assert not models['compact_student'].asked.is_set()


def test_qos_of_the_answers_may_be_overridden(start, models):
    overrides = {
        'qos_overrides./point.publisher.reliability': 'best_effort',
        'qos_overrides./query/answer.publisher.depth': 77,
    }
    node = start(query_node.QueryNode, estimator='compact_student', **overrides)
    profiles = {p.topic_name: p.qos_profile for p in node.publishers}
    assert profiles['/point'].reliability.name == 'BEST_EFFORT'
    assert profiles['/query/answer'].depth == 77
    assert profiles['/query/status'].reliability.name == 'RELIABLE'


def test_an_override_of_one_input_leaves_the_others_as_they_are(start):
    node = start(
        query_node.QueryNode, **{'qos_overrides./depth/image.subscription.reliability': 'reliable'}
    )
    profiles = {s.topic_name: s.qos_profile.reliability.name for s in node.subscriptions}
    assert profiles['/depth/image'] == 'RELIABLE'
    assert profiles['/depth/camera_info'] == profiles['/depth/confidence'] == 'BEST_EFFORT'


@pytest.fixture
def made(monkeypatch):
    """Return the names of the estimators that the depth node makes from now on."""
    names = []
    create = depth_node.estimator_from
    monkeypatch.setattr(
        depth_node, 'estimator_from', lambda s: (names.append(s.estimator), create(s))[1]
    )
    return names


def test_an_estimator_set_while_inactive_is_made_once(start, made):
    node = start(depth_node.DepthNode, prompt__sources='[]', estimator='classical')
    node._deactivate()
    node._estimator_is_busy = True  # a frame that was abandoned
    assert node.set_parameters([Parameter('estimator', value='nearest')])[0].successful
    node._activate()
    assert made == ['classical', 'nearest']


def test_an_estimator_that_an_abandoned_frame_holds_is_made_anew(start, made):
    node = start(depth_node.DepthNode, prompt__sources='[]', estimator='nearest')
    node._deactivate()
    node._estimator_is_busy = True
    node._activate()
    assert made == ['nearest', 'nearest']
