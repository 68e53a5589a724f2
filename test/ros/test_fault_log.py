# SPDX-License-Identifier: Apache-2.0
"""Faults are all counted, and each kind is logged once in a while."""

from metric_depth_ros.ros.faults import FaultLog


def test_a_repeated_fault_is_logged_once_and_counted_always():
    lines = []
    faults = FaultLog(lines.append, throttle_s=1000.0)
    for _ in range(5):
        faults.report('/image', 'image_data', 'too short.')
    assert lines == ['/image [image_data]: too short.']
    assert faults.counts() == {('/image', 'image_data'): 5}


def test_another_fault_or_topic_is_not_silenced():
    lines = []
    faults = FaultLog(lines.append, throttle_s=1000.0)
    for topic, fault in (('/a', 'x'), ('/a', 'y'), ('/b', 'x')):
        faults.report(topic, fault, 'words')
    assert len(lines) == 3


def test_the_next_line_tells_how_many_were_not_logged():
    lines = []
    faults = FaultLog(lines.append, throttle_s=1000.0)
    for _ in range(3):
        faults.report('/image', 'x', 'words')
    faults.throttle_s = 0.0
    faults.report('/image', 'x', 'words')
    assert '2 more' in lines[1]


def test_faults_are_shown_by_topic_and_kind_but_for_topics_of_elsewhere():
    faults = FaultLog(lambda text: None, 0.0)
    faults.report('/image', 'stamp_old', 'words')
    faults.report('/points', 'silent', 'words')
    assert faults.values() == {'/image stamp_old': 1, '/points silent': 1}
    assert faults.values({'/points'}) == {'/image stamp_old': 1}
