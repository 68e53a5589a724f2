# SPDX-License-Identifier: Apache-2.0
"""Tiny language models in the query node: pixels and questions over real DDS."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Point, PointStamped
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_msgs.msg import String

DISTANCE = 2.5
FOCAL_PX = 500.0  # near those of training, so that images stay small


def values(status):
    return {pair.key: pair.value for pair in status.values}


class Asker:
    """Shows images to one query node, and asks it."""

    def __init__(self, client, node):
        self.client, self.node = client, node
        client.listen(PointStamped, 'point')
        client.listen(DiagnosticStatus, 'query/status')
        client.listen(String, 'query/answer')

    def show(self):
        shown = self.client.frame()
        shown['camera_info'].k = [FOCAL_PX, 0.0, 32.0, 0.0, FOCAL_PX, 24.0, 0.0, 0.0, 1.0]
        self.client.send({'camera_info': shown['camera_info'], 'image': shown['image']})

    def ask(self, topic, question, answered, what):
        """Show images and ask until the answer is the one wanted: the first image may be lost."""

        def again():
            self.show()
            self.client.publisher(type(question), topic).publish(question)

        return self.client.repeat(again, answered, what)

    def ask_once(self, topic, question, answered, what):
        """Ask when images are known to arrive."""
        self.client.publisher(type(question), topic).publish(question)
        return self.client.wait_for(answered, what)

    def status_with(self, key, text, level=DiagnosticStatus.OK):
        def found():
            heard = [s for s in self.client.received['query/status'] if s.level == level]
            return next((s for s in heard if text in values(s).get(key, '')), None)

        return found

    def first(self, topic):
        return lambda: next(iter(self.client.received[topic]), None)


@pytest.fixture(scope='module')
def asker(start_node, lasting_client_in, tmp_path_factory):
    """Return who asks a node in which DepthLM answers pixels and DepthVLM questions."""
    pytest.importorskip('torch')
    pytest.importorskip('transformers')
    from tiny_vlm import write_depthlm, write_depthvlm

    folder = tmp_path_factory.mktemp('models')
    depthlm = write_depthlm(folder / 'depthlm', f'<answer> {DISTANCE} </answer>')
    depthvlm = write_depthvlm(folder / 'depthvlm')
    given = {
        'estimator': 'depthlm',
        'language_model': 'depthvlm',
        'model.weights': f'depthlm={depthlm},depthvlm={depthvlm}',
        'device': 'cpu',
        'model.precision': 'fp32',
        'answer_tokens': 8,
        'max_age_s': 0.0,
    }
    node = start_node(given, ['__ns:=/language'], 'query')
    node.wait_for_log('active')
    return Asker(lasting_client_in('language'), node)


def test_depthlm_answers_a_click_with_a_point_at_the_distance_that_it_states(asker):
    click = Point(x=20.0, y=30.0)
    found = asker.ask('image_mouse_left', click, asker.first('point'), 'a point').point
    assert np.linalg.norm((found.x, found.y, found.z)) == pytest.approx(DISTANCE, rel=1e-6)
    assert found.x / found.z == pytest.approx((20.0 - 32.0) / FOCAL_PX)
    status = asker.client.wait_for(asker.status_with('method', 'depthlm'), 'its status')
    assert float(values(status)['sigma_depth_m']) == pytest.approx(0.19 * found.z, abs=1e-3)


def test_a_pixel_that_depthlm_cannot_be_shown_is_refused(asker):
    outside = asker.status_with('fault', 'pixel_outside', DiagnosticStatus.WARN)
    assert asker.ask('image_mouse_left', Point(x=64.0, y=2.0), outside, 'a refusal')


def test_depthvlm_answers_a_question_about_the_newest_image(asker):
    asker.ask('image_mouse_left', Point(x=20.0, y=30.0), asker.first('point'), 'a point')
    question = String(data='What is in front of the robot?')
    answered = asker.status_with('question', question.data)
    status = asker.ask_once('query/question', question, answered, 'an answer')
    said = asker.client.wait_for(asker.first('query/answer'), 'the answer')
    assert said.data == status.message


def test_an_answer_that_takes_too_long_is_given_up_and_does_not_keep_the_node(asker):
    limits = {'answer_tokens': 8192, 'timeout_s': 0.001}
    request = SetParameters.Request()
    request.parameters = [Parameter(n, value=v).to_parameter_msg() for n, v in limits.items()]
    set_results = asker.client.call(SetParameters, 'query/set_parameters', request).results
    assert all(result.successful for result in set_results)
    given_up = asker.status_with('fault', 'timeout', DiagnosticStatus.WARN)
    asker.ask('query/question', String(data='Tell me all.'), given_up, 'an end to waiting')
    answers = asker.client.received['query/answer']
    asker.client.wait_for(
        lambda: any(m.data.startswith('error [timeout]') for m in answers), 'the refusal'
    )
    assert asker.node.end() == 0  # though the model is still at it
