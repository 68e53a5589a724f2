# SPDX-License-Identifier: Apache-2.0
"""The query node over real DDS: pixels and clicks in, points out, and every refusal in words."""

from array import array

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Point, PointStamped, PoseWithCovarianceStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String

SIZE = (64, 48)
DEPTH_M = 4.0
ASKED_FIRST = (21, 21)  # nobody else asks about it: answers may still come when others ask
HOLE, SKY = (10, 12), (50, 3)  # pixels that nothing is known of, and beyond range


def message(kind, stamp_ns, **fields):
    made = kind(**fields)
    made.header.frame_id = 'optical'
    made.header.stamp.sec, made.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    return made


def float_image(stamp_ns, values):
    made = message(Image, stamp_ns, width=SIZE[0], height=SIZE[1], encoding='32FC1')
    made.step = 4 * SIZE[0]
    made.data = array('B', values.astype('<f4').tobytes())
    return made


def estimate(client, depth_m=DEPTH_M):
    """Return what a depth node would publish now: a wall with a hole and some sky."""
    stamp_ns = client.now_ns()
    depth = np.full(SIZE[::-1], depth_m)
    depth[HOLE[1], HOLE[0]] = np.nan
    depth[SKY[1], SKY[0]] = np.inf
    info = client.frame(stamp_ns)['camera_info']
    info.header.frame_id = 'optical'
    return {
        'depth/image': float_image(stamp_ns, depth),
        'depth/camera_info': info,
        'depth/confidence': float_image(stamp_ns, np.ones(SIZE[::-1])),
    }


def pixel(u, v, stamp_ns=0):
    made = message(PointStamped, stamp_ns)
    made.point.x, made.point.y = float(u), float(v)
    return made


def values(status):
    return {pair.key: pair.value for pair in status.values}


def is_about(status, question):
    told = values(status)
    if isinstance(question, String):
        return told.get('question') == question.data
    point = getattr(question, 'point', question)
    return told.get('pixel') == f'{point.x:g} {point.y:g}'


class Asker:
    """Asks one query node, and hears its answers."""

    def __init__(self, client):
        self.client = client
        client.listen(PointStamped, 'point')
        client.listen(PoseWithCovarianceStamped, 'point_with_covariance')
        client.listen(DiagnosticStatus, 'query/status')
        client.listen(String, 'query/answer')

    def ask(self, topic, question):
        """Publish a question; return the status that answers it."""
        heard = self.client.received['query/status']
        before = len(heard)
        self.client.publisher(type(question), topic).publish(question)
        return self.client.wait_for(
            lambda: [s for s in heard[before:] if is_about(s, question)], f'an answer of {topic}'
        )[0]

    def newest(self, topic):
        return self.client.wait_for(lambda: self.client.received[topic], topic)[-1]

    def wait_for_sight(self):
        """Publish estimates until one answers: the first may be lost, or come late."""

        def again():
            self.client.send(estimate(self.client))
            self.client.publisher(PointStamped, 'pixel').publish(pixel(*ASKED_FIRST))

        def answered():  # before it has heard of a confidence, the node waits for none
            told = [values(s) for s in self.client.received['query/status']]
            return any(t.get('confidence', 'none') != 'none' for t in told)

        self.client.repeat(again, answered, 'an answer')


@pytest.fixture(scope='module')
def asker(start_node, lasting_client_in):
    start_node({'max_age_s': 0.0}, ['__ns:=/asked'], 'query')
    asker = Asker(lasting_client_in('asked'))
    asker.before = asker.ask('pixel', pixel(20, 20))
    asker.wait_for_sight()
    return asker


def test_before_any_estimate_the_answer_is_that_there_is_none(asker):
    assert asker.before.level == DiagnosticStatus.WARN
    assert values(asker.before)['fault'] == 'depth_missing'
    assert 'depth/image' in asker.before.message


def test_a_pixel_is_answered_with_its_point_and_covariance(asker):
    status = asker.ask('pixel', pixel(42, 14))
    assert status.level == DiagnosticStatus.OK
    assert 'm in optical' in status.message
    found = asker.newest('point')
    assert found.header.frame_id == 'optical'
    assert found.header.stamp.sec > 0
    expected = np.array((0.2 * DEPTH_M, -0.2 * DEPTH_M, DEPTH_M))
    np.testing.assert_allclose((found.point.x, found.point.y, found.point.z), expected)
    pose = asker.newest('point_with_covariance')
    assert pose.header == found.header
    assert pose.pose.pose.position == found.point
    assert pose.pose.pose.orientation.w == 1.0
    covariance = np.reshape(pose.pose.covariance, (6, 6))
    assert np.linalg.eigvalsh(covariance)[0] > 0.0
    ray = expected / np.linalg.norm(expected)
    assert ray @ covariance[:3, :3] @ ray == pytest.approx((0.02 * expected @ ray) ** 2, rel=0.1)


@pytest.mark.parametrize('topic', ['image_mouse_left', 'depth/image_color_mouse_left'])
def test_a_click_in_rqt_image_view_is_answered(asker, topic):
    assert asker.ask(topic, Point(x=32.0, y=24.0)).level == DiagnosticStatus.OK


@pytest.mark.parametrize(
    ('place', 'fault'),
    [(HOLE, 'depth_unknown'), (SKY, 'depth_beyond_range'), ((64, 3), 'pixel_outside')],
)
def test_what_has_no_depth_gets_words_and_no_point(asker, place, fault):
    points = len(asker.client.received['point'])
    status = asker.ask('pixel', pixel(*place))
    assert values(status)['fault'] == fault
    assert status.level == DiagnosticStatus.WARN
    asker.ask('pixel', pixel(20, 20))
    asker.client.wait_for(lambda: len(asker.client.received['point']) > points, 'the next point')
    assert len(asker.client.received['point']) == points + 1


def test_an_old_estimate_answers_nothing(asker):
    request = SetParameters.Request()

    def limit_age(seconds):
        parameter = Parameter('max_age_s', value=seconds).to_parameter_msg()
        request.parameters = [parameter]
        result = asker.client.call(SetParameters, 'query/set_parameters', request)
        assert result.results[0].successful

    limit_age(1e-6)
    try:
        assert values(asker.ask('pixel', pixel(20, 20)))['fault'] == 'stale'
    finally:
        limit_age(0.0)


def test_a_question_without_a_language_model_is_answered_with_what_to_set(asker):
    status = asker.ask('query/question', String(data='What is this?'))
    assert values(status)['fault'] == 'language_model_missing'
    answer = asker.newest('query/answer').data
    assert answer.startswith('error [language_model_missing]: ')
    assert 'language_model' in answer


def test_diagnostics_count_questions_and_refusals(asker):
    asker.ask('pixel', pixel(-5, 0))
    asker.client.subscribe(DiagnosticArray, '/diagnostics')

    def counted():
        heard = [s for m in asker.client.received['/diagnostics'] for s in m.status]
        mine = [values(s) for s in heard if s.hardware_id == '/asked/query']
        return next((v for v in mine if int(v['refused'])), None)

    found = asker.client.wait_for(counted, 'diagnostics')
    assert int(found['asked']) >= int(found['answered']) + int(found['refused'])
    assert int(found['/asked/pixel pixel_outside']) >= 1


def test_points_are_given_in_another_frame_and_of_the_stamp_that_is_asked_about(
    start_node, client_in, tmp_path
):
    calibration = tmp_path / 'rig.yaml'
    calibration.write_text(
        'transforms:\n- {parent: base_link, child: optical, translation: [0.5, 0, 1], '
        'rotation: [-0.5, 0.5, -0.5, 0.5]}\n'
    )
    given = {
        'target_frame': 'base_link',
        'extrinsics.path': calibration,
        'match_stamp': True,
        'max_age_s': 0.0,
    }
    node = start_node(given, ['__ns:=/matched'], 'query')
    client = client_in('matched')
    asker = Asker(client)
    asker.wait_for_sight()
    near, far = estimate(client, 2.0), estimate(client, 8.0)
    for topic, later in far.items():
        later.header.stamp.sec = near[topic].header.stamp.sec + 1  # near to no other estimate

    def found(shown):
        asked = pixel(32, 24)
        asked.header.stamp = shown['depth/image'].header.stamp

        def answered():
            asker.ask('pixel', asked)
            heard = client.received['point']
            return [m for m in heard if m.header.stamp == asked.header.stamp]

        return client.wait_for(answered, 'the point of a stamp')[-1]

    for shown, depth_m in ((near, 2.0), (far, 8.0)):
        client.send(shown)
        point = found(shown).point
        expected = (0.5 + depth_m, 0.0, 1.0)
        np.testing.assert_allclose((point.x, point.y, point.z), expected, atol=1e-6)
    assert found(near).header.frame_id == 'base_link'
    unknown = asker.ask('pixel', pixel(32, 24, 1_000_000_000))
    assert values(unknown)['fault'] == 'stamp_unmatched'
    assert node.end() == 0


def test_a_live_depth_node_answers_through_the_query_node(start_node, client_in):
    start_node({'prompt.max_age_s': 5.0}, ['__ns:=/chain'])
    query = start_node({'max_age_s': 0.0}, ['__ns:=/chain'], 'query')
    client = client_in('chain')
    asker = Asker(client)

    def again():
        client.send(client.frame())
        client.publisher(PointStamped, 'pixel').publish(pixel(32, 30))

    found = client.repeat(
        again, lambda: next(iter(client.received['point']), None), 'a point of the wall'
    )
    assert found.point.z == pytest.approx(5.0, abs=0.01)
    assert found.header.frame_id == 'camera'
    assert asker.newest('query/status').level in (DiagnosticStatus.OK, DiagnosticStatus.WARN)
    assert query.end() == 0


def test_the_life_cycle_begins_and_ends_answers(start_node, client_in):
    node = start_node({'autostart': False}, ['__ns:=/managed'], 'query')
    client = client_in('managed')

    def change(transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return client.call(ChangeState, 'query/change_state', request).success

    assert change(Transition.TRANSITION_CONFIGURE)
    assert client.node.count_subscribers('pixel') == 0
    assert change(Transition.TRANSITION_ACTIVATE)
    asker = Asker(client)
    assert values(asker.ask('pixel', pixel(1, 1)))['fault'] == 'depth_missing'
    assert change(Transition.TRANSITION_DEACTIVATE)
    client.wait_for(lambda: client.node.count_subscribers('pixel') == 0, 'no subscriber')
    assert change(Transition.TRANSITION_CLEANUP)
    client.wait_for(lambda: client.node.count_publishers('point') == 0, 'no publisher')
    assert node.end() == 0


OBSERVED_TREE = """
import sys
from types import SimpleNamespace


class Buffer:
    def clear(self):
        print('the tree is cleared', flush=True)


sys.modules['tf2_ros'] = SimpleNamespace(
    Buffer=Buffer,
    TransformListener=lambda *_, spin_thread: SimpleNamespace(unregister=lambda: None),
    TransformException=LookupError,
)
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.registry import register
from metric_depth_ros.nodes.query import main


class Unasked(Estimator):
    name = 'unasked'

    def estimate(self, frame):
        raise AssertionError('nobody asks it')


register('unasked', lambda variant, options: Unasked())
sys.exit(main())
"""


def test_transforms_follow_a_clock_that_goes_back_where_a_model_answers(
    start_node, client_in, tmp_path
):
    script = tmp_path / 'observed_tree.py'
    script.write_text(OBSERVED_TREE)
    given = {
        'estimator': 'unasked',
        'target_frame': 'map',
        'extrinsics.source': 'tf2',
        'max_age_s': 0.0,
    }
    node, client = start_node(given, ['__ns:=/looped'], script), client_in('looped')

    def show(*seconds):
        for second in seconds:
            client.send({'image': client.frame(second * 1_000_000_000)['image']})

    show(100, 101, 102)
    assert 'the tree is cleared' not in node.log
    client.repeat(lambda: show(103, 20), lambda: 'the tree is cleared' in node.log, 'a jump')
    assert node.end() == 0


@pytest.mark.parametrize(
    ('parameter', 'value', 'words'),
    [
        ('estimator', 'magic', 'unknown estimator'),
        ('estimator', 'classical', 'dense'),
        ('language_model', 'nearest', 'no questions'),
    ],
)
def test_a_model_that_cannot_be_had_is_one_sentence(start_node, parameter, value, words):
    node = start_node({parameter: value}, [f'__ns:=/unusable_{value}'], 'query')
    log = node.wait_for_log('cannot configure')
    assert words in log
    assert 'Traceback' not in log
    assert node.end() == 0
