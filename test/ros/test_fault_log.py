# SPDX-License-Identifier: Apache-2.0
"""Faults are all counted, and each kind is logged once in a while."""

import numpy as np

from metric_depth_ros.ros.depth_picture import depth_picture
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


def test_the_picture_of_depth_is_red_near_and_black_where_unknown():
    depth = np.tile(np.linspace(1.0, 50.0, 64, dtype=np.float32), (32, 1))
    depth[:4] = np.nan
    picture = depth_picture(depth)
    assert (picture[:4] == 0).all()
    assert picture[20, 0, 0] > picture[20, 0, 2]
    assert picture[20, -1, 2] > picture[20, -1, 0] or picture[20, -1].max() < 100


def test_a_picture_of_nothing_is_black():
    assert not depth_picture(np.full((8, 8), np.nan, np.float32)).any()
