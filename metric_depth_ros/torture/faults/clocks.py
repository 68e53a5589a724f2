# SPDX-License-Identifier: Apache-2.0
"""Clocks that jump, stand still, or belong to another time."""

from __future__ import annotations

import time
from collections.abc import Iterable

from builtin_interfaces.msg import Time
from rosgraph_msgs.msg import Clock

from metric_depth_ros.codecs.stamps import NS_PER_S, sec_nanosec
from metric_depth_ros.torture.fault import Fault
from metric_depth_ros.torture.good_stream import frame
from metric_depth_ros.torture.rig import Rig

_RECORDED_NS = 1_317_000_000 * NS_PER_S  # a drive of 2011
_PERIOD_NS = NS_PER_S // 10


def _play(rig: Rig, stamps: Iterable[int], clock: bool) -> int:
    """Send frames with these stamps, with /clock if asked; return how many were answered."""
    stamps = list(stamps)
    for stamp in stamps:
        if clock:
            seconds, nanoseconds = sec_nanosec(stamp)
            time_message = Clock(clock=Time(sec=seconds, nanosec=nanoseconds))
            rig.publisher('/clock', Clock).publish(time_message)
            time.sleep(0.02)
        rig.send(frame(stamp))
        time.sleep(0.05)
    rig.until(lambda: rig.answer_of(stamps[-1]), 'answer to the last frame')
    return sum(rig.answer_of(stamp) is not None for stamp in stamps)


def _loop() -> list[int]:
    return [_RECORDED_NS + i * _PERIOD_NS for i in range(8)]


def _bag_loops(rig: Rig) -> str:
    """Play a recording without /clock that begins anew."""
    rig.pause_stream()
    since = rig.log_position()
    try:
        rig.set_parameter('max_frame_age_s', 0.0)
        later = [stamp + 60 * NS_PER_S for stamp in _loop()]
        first = _play(rig, later, clock=False)
        second = _play(rig, _loop(), clock=False)
        rig.sees_log('/image [stamp_backward]', since)
    finally:
        rig.set_parameter('max_frame_age_s', 1.0)
        rig.resume_stream()
    return f'{first} and {second} of 8 frames answered; the jump reported'


def _simulated(rig: Rig, jumps_s: tuple[float, ...]) -> str:
    rig.pause_stream()
    try:
        rig.set_parameter('use_sim_time', True)
        answered = []
        start_ns = _RECORDED_NS
        for jump_s in jumps_s:
            start_ns += int(jump_s * NS_PER_S)
            answered.append(_play(rig, [start_ns + i * _PERIOD_NS for i in range(6)], clock=True))
            start_ns += 6 * _PERIOD_NS
    finally:
        rig.set_parameter('use_sim_time', False)
        rig.resume_stream()
    return f'{", ".join(map(str, answered))} of 6 frames answered after each jump'


def _impossible(rig: Rig) -> str:
    since = rig.log_position()
    try:
        rig.set_parameter('use_sim_time', True)
        impossible = Clock()
        impossible.clock.sec = -1
        for _ in range(3):
            rig.publisher('/clock', Clock).publish(impossible)
            time.sleep(0.05)
        rig.sees_log('[internal]', since)
    finally:
        rig.set_parameter('use_sim_time', False)
    return 'reported, the node lives'


def _stands_still(rig: Rig) -> str:
    rig.pause_stream()
    try:
        rig.set_parameter('use_sim_time', True)
        stamps = [_RECORDED_NS + 3600 * NS_PER_S + i * _PERIOD_NS for i in range(4)]
        answered = _play(rig, stamps, clock=False)
    finally:
        rig.set_parameter('use_sim_time', False)
        rig.resume_stream()
    return f'{answered} of 4 frames answered without a clock'


FAULTS: tuple[Fault, ...] = (
    Fault('clocks', 'a recording that begins anew', 'both loops answered, the jump reported',
          _bag_loops),
    Fault('clocks', 'simulated time jumps ahead and back', 'frames answered after each jump',
          lambda rig: _simulated(rig, (0.0, 3600.0, -7200.0, 0.5))),
    Fault('clocks', 'simulated time that has not begun', 'frames answered', _stands_still),
    Fault('clocks', 'a negative /clock', 'reported, the node lives', _impossible),
)  # fmt: skip
