# SPDX-License-Identifier: Apache-2.0
"""What the counts of a camera say of its frames, without a node."""

from types import SimpleNamespace

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from metric_depth_ros.ros.diagnostics import Counters, FrameReport, health_status
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.ros.processing import FrameProcessor

NO_PROMPT = 'The last frame had no prompt.'
IDLE = 'nobody subscribes: images are checked'
LAZY = DEPTH_NODE.settings({'prompt.sources': []})


def report(points, method='nearest'):
    return FrameReport(1, method, 5.0, 0.0, 1.0, 3.0, 1.0, points)


@pytest.fixture
def counters():
    return Counters()


def told(counters):
    status = health_status('depth: frames', 'camera', counters.new_problems(), counters, 0, {})
    return status.level, status.message


def pass_idle(counters, prompt):
    """Let a frame pass whose depth nobody wants."""
    deaf = SimpleNamespace(is_heard=False, get_subscription_count=lambda: 0)
    builder = SimpleNamespace(build=lambda bundle, settings: SimpleNamespace(prompt=prompt))
    processor = FrameProcessor(builder, deaf, deaf, counters, 'depth')
    assert not processor.answer(None, None, LAZY, 0, lambda: True)


def test_frames_are_answered_only_once_one_is(counters):
    counters.count('frames_in', 100)
    assert told(counters) == (DiagnosticStatus.OK, 'no frame has been answered yet')
    counters.answered(report(9))
    assert told(counters) == (DiagnosticStatus.OK, 'frames are answered')


def test_while_nobody_subscribes_the_newest_frame_that_was_checked_is_judged(counters):
    counters.answered(report(0))
    assert told(counters) == (DiagnosticStatus.WARN, NO_PROMPT)
    pass_idle(counters, prompt=['a point'])
    assert told(counters) == (DiagnosticStatus.OK, IDLE)
    pass_idle(counters, prompt=None)
    assert told(counters) == (DiagnosticStatus.WARN, NO_PROMPT)


def test_what_was_before_the_activation_is_forgotten_but_the_counts(counters):
    counters.answered(report(0))
    pass_idle(counters, prompt=None)
    counters.begin()
    assert told(counters) == (DiagnosticStatus.OK, 'no frame has been answered yet')
    assert counters.usual_s() == 0.0
    assert (counters['frames_out'], counters['idle']) == (1, 1)


def test_a_camera_without_sensors_needs_no_prompt():
    counters = Counters(expects_prompt=False)
    counters.answered(report(0))
    assert told(counters) == (DiagnosticStatus.OK, 'frames are answered')
