# SPDX-License-Identifier: Apache-2.0
"""Counts by name, and what is new of them."""

from metric_depth_ros.ros.tally import Tally


def test_what_is_new_is_told_once():
    tally = Tally('asked', 'answered')
    tally.count('asked')
    tally.count('asked', 2)
    assert tally.new() == {'asked': 3, 'answered': 0}
    assert tally.new() == {'asked': 0, 'answered': 0}
    tally.count('answered')
    assert tally.new() == {'asked': 0, 'answered': 1}
    assert tally.counts() == {'asked': 3, 'answered': 1}
    assert tally['asked'] == 3
