# SPDX-License-Identifier: Apache-2.0
"""Which stamps are believed, and when a clock went back."""

import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.stamps import (
    OVERTAKEN_IN_A_ROW,
    BackwardJump,
    StampGate,
    StampVerdict,
    age_on_arrival_s,
)

S = 1_000_000_000
NOW = 1_800_000_000 * S


def admitted(stamp_ns, now_ns=NOW, max_age_s=1.0):
    return StampGate().admit(stamp_ns, now_ns, max_age_s)


@pytest.mark.parametrize('age_s', [0.0, 0.9, -0.9])
def test_a_stamp_near_the_clock_is_good(age_s):
    assert admitted(NOW - int(age_s * S)) is StampVerdict.GOOD


@pytest.mark.parametrize(
    ('stamp', 'fault'),
    [(0, 'stamp_zero'), (NOW - 2 * S, 'stamp_old'), (NOW + 2 * S, 'stamp_future')],
)
def test_a_stamp_that_cannot_be_is_refused_by_name(stamp, fault):
    with pytest.raises(InputError) as refusal:
        admitted(stamp)
    assert refusal.value.fault == fault


def test_no_age_limit_accepts_any_age():
    assert admitted(NOW - 2 * S, max_age_s=0.0) is StampVerdict.GOOD


@pytest.mark.parametrize('stamp', [1_317_000_000 * S, NOW + 7200 * S])
def test_a_stamp_of_another_clock_is_told_apart_from_delay(stamp):
    assert admitted(stamp) is StampVerdict.OTHER_CLOCK


@pytest.mark.parametrize(
    ('stamp', 'age_s'),
    [(NOW - S, 1.0), (NOW + S, 0.0), (1_317_000_000 * S, 0.0), (NOW + 7200 * S, 0.0)],
)
def test_an_age_is_known_where_the_stamp_is_of_this_clock_and_not_ahead(stamp, age_s):
    assert age_on_arrival_s(stamp, NOW) == age_s


def test_a_simulated_clock_that_has_not_begun_does_not_refuse():
    assert admitted(NOW, now_ns=0) is StampVerdict.OTHER_CLOCK


def test_a_stamp_before_the_last_one_is_a_jump():
    gate = StampGate()
    gate.admit(NOW, NOW, 1.0)
    assert gate.admit(NOW - S // 2, NOW, 1.0) is StampVerdict.JUMPED_BACK
    assert gate.admit(NOW - S // 4, NOW, 1.0) is StampVerdict.GOOD


def test_a_refused_stamp_does_not_count_as_the_last_one():
    gate = StampGate()
    with pytest.raises(InputError):
        gate.admit(NOW + 2 * S, NOW, 1.0)
    assert gate.admit(NOW, NOW, 1.0) is StampVerdict.GOOD


def test_a_frame_that_was_overtaken_is_refused_and_the_newest_stamp_stays():
    gate = StampGate()
    gate.admit(NOW, NOW, 1.0)
    with pytest.raises(InputError) as refusal:
        gate.admit(NOW - S // 30, NOW, 1.0)
    assert refusal.value.fault == 'stamp_overtaken'
    assert gate.admit(NOW + S // 30, NOW, 1.0) is StampVerdict.GOOD


def test_frames_that_stay_behind_are_a_short_bag_that_began_anew():
    gate = StampGate()
    gate.admit(NOW, NOW, 0.0)
    for _ in range(OVERTAKEN_IN_A_ROW):
        with pytest.raises(InputError):
            gate.admit(NOW - S // 10, NOW, 0.0)
    assert gate.admit(NOW - S // 10, NOW, 0.0) is StampVerdict.JUMPED_BACK
    assert gate.admit(NOW - S // 20, NOW, 0.0) is StampVerdict.GOOD


def test_the_same_stamp_twice_is_accepted_and_told():
    gate = StampGate()
    gate.admit(NOW, NOW, 1.0)
    assert gate.admit(NOW, NOW, 1.0) is StampVerdict.DUPLICATE


def test_a_clock_that_goes_back_is_told_once_and_what_was_overtaken_is_not():
    jumps = BackwardJump()
    seen = [jumps.seen(round(second * S)) for second in (10.0, 11.0, 10.0, 9.9, 9.5, 11.0)]
    assert seen == [False, False, False, True, False, False]


def test_streams_are_not_compared_but_go_back_together():
    jumps = BackwardJump()
    assert not any(jumps.seen(second * S, stream) for second, stream in [(90, 'a'), (10, 'b')])
    assert jumps.seen(S, 'b')
    assert not jumps.seen(2 * S, 'a')


def test_a_clock_that_is_forgotten_does_not_go_back():
    jumps = BackwardJump()
    jumps.seen(90 * S)
    jumps.forget()
    assert not jumps.seen(S)


def test_names_of_streams_that_are_made_up_push_each_other_out():
    jumps = BackwardJump()
    for number in range(1000):
        jumps.seen(90 * S, f'camera_{number}')
    assert len(jumps._newest_ns) <= 64
    assert jumps.seen(S, 'camera_999')
