# SPDX-License-Identifier: Apache-2.0
"""Which estimate answers, and whether it is recent enough."""

import time

import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.dense_history import DenseHistory
from metric_depth_ros.ros.freshness import age_s, check_age

S = 1_000_000_000
NOW_NS = 1_700_000_000 * S


def fault(action):
    with pytest.raises(InputError) as caught:
        action()
    return caught.value.fault


def test_age_is_counted_by_the_stamp():
    assert age_s(NOW_NS - 3 * S, time.monotonic(), NOW_NS) == 3.0


@pytest.mark.parametrize('away_s', [-5, -7200, 7200], ids=['future', 'far future', 'long ago'])
def test_the_age_of_a_stamp_of_another_clock_is_counted_from_its_arrival(away_s):
    age = age_s(NOW_NS - away_s * S, time.monotonic() - 60.0, NOW_NS)
    assert age == pytest.approx(60.0, abs=10.0)


def test_what_is_too_old_is_refused_unless_any_age_is_accepted():
    assert fault(lambda: check_age('image', 1.1, 1.0)) == 'stale'
    check_age('image', 0.9, 1.0)
    check_age('image', 1e9, 0.0)


def test_an_empty_history_answers_nothing():
    history = DenseHistory(3)
    assert fault(history.newest) == 'depth_missing'
    assert fault(lambda: history.nearest(5, 1.0)) == 'depth_missing'
    history.keep(5, {})
    history.clear()
    assert fault(history.newest) == 'depth_missing'


def test_the_estimate_with_the_nearest_stamp_is_found_among_the_last_ones():
    history = DenseHistory(3)
    for stamp_s in range(5):
        history.keep(stamp_s * S, {})
    assert history.newest().stamp_ns == 4 * S
    assert history.nearest(int(3.04 * S), 0.05).stamp_ns == 3 * S
    assert fault(lambda: history.nearest(int(3.06 * S), 0.05)) == 'stamp_unmatched'
    assert fault(lambda: history.nearest(1 * S, 0.05)) == 'stamp_unmatched'  # forgotten
