# SPDX-License-Identifier: Apache-2.0
"""What a replay hears of the node, how long it waits for it, and what it makes of that."""

from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 or its wheels')

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.serialization import serialize_message

from metric_depth_ros.evaluation.fail_if import parse_condition
from metric_depth_ros.replay import session
from metric_depth_ros.replay.figures import failures, replay_figures
from metric_depth_ros.replay.recorder import HEALTH_TOPIC, STATUS_TOPIC, Answers, Recorder
from metric_depth_ros.replay.session import ReplayOptions
from metric_depth_ros.ros.diagnostics import Counters, FrameReport, frame_status, health_status


def hearing():
    """Return a recorder, and its callbacks by topic."""
    callbacks = {}

    def create_subscription(kind, topic, callback, profile, **more):
        callbacks[topic] = callback

    node = SimpleNamespace(create_subscription=create_subscription)
    return Recorder(node, None, lambda stamp_ns: False, with_points=False), callbacks


def status_of(stamp_ns, counters, method='nearest'):
    report = FrameReport(stamp_ns, method, 1.0, 1.0, 1.0, 2500.0, 1.0, 1)
    counters.count('frames_out')
    return serialize_message(frame_status('/depth', 'camera', report, counters, 0))


def health_of(name, counters):
    status = health_status(name, 'camera', [], counters, 3, {})
    return serialize_message(DiagnosticArray(status=[status]))


def test_what_the_node_drops_after_its_last_answer_is_heard_of_its_health():
    recorder, callbacks = hearing()
    counters = Counters()
    before = health_of('depth: frames', counters)
    callbacks[STATUS_TOPIC](status_of(1, counters))
    counters.count('bad_input')
    counters.count('failed')
    callbacks[HEALTH_TOPIC](health_of('depth: frames', counters))
    callbacks[HEALTH_TOPIC](before)  # two topics may overtake each other
    heard = {name: n for name, n in recorder.counters.items() if n}
    assert heard == {'frames_out': 1, 'replaced': 3, 'bad_input': 1, 'failed': 1}


def test_the_health_of_other_nodes_is_not_that_of_the_node():
    recorder, callbacks = hearing()
    counters = Counters()
    counters.count('bad_input')
    callbacks[HEALTH_TOPIC](health_of('reconstruct: frames', counters))
    assert not any(recorder.counters.values())


def test_what_the_node_has_counted_outlives_the_warm_up():
    recorder, callbacks = hearing()
    callbacks[STATUS_TOPIC](status_of(1, Counters()))
    recorder.forget()
    assert recorder.counters['frames_out'] == 1
    assert recorder.took_s == 2.5


def test_of_a_frame_numbers_are_kept_and_not_its_status():
    recorder, callbacks = hearing()
    counters = Counters()
    for stamp_ns in range(1, 4):
        callbacks[STATUS_TOPIC](status_of(stamp_ns, counters))
    assert recorder.answers == Answers(
        estimator_ms={1: 2500.0, 2: 2500.0, 3: 2500.0}, methods={'nearest'}
    )


class PretendedTime:
    """The end of a replay of one image, in which nothing waits.

    It stands for recorder, process and clock; what the node says is (at s, what is done then).
    """

    is_running = True

    def __init__(self, said, took_s=0.0):
        self.answers = Answers(played={1: 0.0})
        self.counters = {'bad_input': 0}
        self.took_s = took_s
        self.now_s = 0.0
        self._said = list(said)

    def monotonic(self):
        return self.now_s

    def cpu_s(self):
        return min(self.now_s, 4.0)  # idle from then on

    def is_answered(self, stamp_ns):
        return stamp_ns in self.answers.depth

    def wait_for(self, condition, timeout_s):
        self.now_s += timeout_s
        while self._said and self._said[0][0] <= self.now_s:
            self._said.pop(0)[1](self)
        return condition()


def answer(node):
    node.answers.depth[1] = node.now_s
    node.counters['frames_out'] = 1


def refuse(node):
    node.counters['bad_input'] = 1


def ended(node, monkeypatch, health_period_s=1.0):
    """Return a session that has waited for its last image, from 2 s after its beginning on."""
    monkeypatch.setattr(session, 'time', node)
    found = object.__new__(session._Session)
    found.recorder = found._process = node
    found._began_s, found._cpu_began_s, found.cpu_percent = 0.0, 0.0, None
    node.now_s = 2.0
    found._await_answers(health_period_s)
    return found


def test_an_estimator_that_takes_long_is_waited_for(monkeypatch):
    node = PretendedTime([(25.0, answer)], took_s=12.0)
    ended(node, monkeypatch)
    assert node.is_answered(1)


def test_an_image_that_the_node_drops_is_waited_for_until_it_is_counted(monkeypatch):
    node = PretendedTime([(60.0, refuse)])
    ended(node, monkeypatch, health_period_s=60.0)
    assert node.counters['bad_input'] == 1


@pytest.mark.parametrize('said', [[(3.0, refuse)], []])
def test_processor_time_is_not_measured_over_what_is_waited_for_in_vain(said, monkeypatch):
    assert ended(PretendedTime(said), monkeypatch).cpu_percent == 100.0


def figures_of(counters, answered=5):
    """Return figures and what came of ten images."""
    answers = Answers(
        played=dict.fromkeys(range(10), 0.0), depth=dict.fromkeys(range(answered), 0.5)
    )
    run = SimpleNamespace(
        answers=answers,
        counters=counters,
        rss_mb={'start': None, 'end': None},
        cpu_percent=None,
        warm_up_frames=1,
        exit_code=0,
        node_died=False,
        last_words='',
    )
    return replay_figures(ReplayOptions('bag', 'out'), run, None), run


def test_images_at_which_the_estimator_failed_are_told_as_a_defect():
    figures, run = figures_of({'failed': 5})
    assert (figures['failed'], figures['lost']) == (5, 0)
    assert failures(figures, run, ()) == [
        'the estimator failed at 5 of 10 images: node.log says why'
    ]


def test_no_answer_at_all_is_told_without_advice_that_does_not_help():
    figures, run = figures_of({'bad_input': 10}, answered=0)
    assert failures(figures, run, ()) == ['no image was answered: node.log says why']


@pytest.mark.parametrize('name', ['abs_rel', 'metrics_unprompted.delta1'])
def test_a_metric_of_a_bag_without_ground_truth_fails_every_condition(name):
    figures, run = figures_of({'bad_input': 5})
    assert figures['metrics']['abs_rel'] is None
    (told,) = failures(figures, run, [parse_condition(f'{name}<0')])
    assert told.startswith(f'--fail-if {name}<0 holds')
