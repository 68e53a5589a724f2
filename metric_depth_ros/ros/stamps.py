# SPDX-License-Identifier: Apache-2.0
"""Which image stamps are believed. Standard library only.

A robot's clock and a camera's clock agree within milliseconds, or not at all: a recording played
without /clock is years away. A frame that is somewhat old was delayed and is stale; a frame an
hour or more away comes from another clock, and its age can only be counted from its arrival.

A stamp before the newest one is either a frame that was overtaken on its way or a clock that went
back (a bag that began anew). The first is told by how little it is behind: whoever reads depth in
the order of its stamps has no use for it. The second begins everything anew.
"""

from __future__ import annotations

from enum import Enum

from metric_depth_ros.errors import InputError

OTHER_CLOCK_S = 3600.0
# Farther behind than this, or this often in a row, nothing was overtaken: the clock went back.
OVERTAKEN_S = 0.2
OVERTAKEN_IN_A_ROW = 3
_S = 1e-9


class StampVerdict(Enum):
    """What a stamp that is accepted says about the clock."""

    GOOD = 'good'
    OTHER_CLOCK = 'other clock'
    JUMPED_BACK = 'jumped back'
    DUPLICATE = 'duplicate'


class StampGate:
    """Decide about the stamps of one stream of images, in order of arrival."""

    def __init__(self) -> None:
        self._newest_ns = 0
        self._overtaken = 0

    def admit(self, stamp_ns: int, now_ns: int, max_age_s: float) -> StampVerdict:
        """Accept or refuse a stamp.

        Parameters
        ----------
        stamp_ns
            Header stamp of the image.
        now_ns
            Clock of the node (ROS time); 0 while a simulated clock has not begun.
        max_age_s
            Largest age, and largest lead, that is accepted; 0 accepts any stamp.

        Raises
        ------
        InputError
            ``'stamp_zero'``, ``'stamp_old'``, ``'stamp_future'``, or ``'stamp_overtaken'`` for a
            frame that comes after a newer one.
        """
        if stamp_ns <= 0:
            raise InputError(
                'stamp_zero',
                f'the image has stamp {stamp_ns * _S:g} s, with which no measurement can be '
                'paired: make the driver fill header.stamp.',
            )
        age_s = (now_ns - stamp_ns) * _S
        other_clock = abs(age_s) > OTHER_CLOCK_S
        if max_age_s and not other_clock:
            _check_age(age_s, max_age_s)
        behind_ns = self._newest_ns - stamp_ns
        if behind_ns > 0 and not self._has_jumped(behind_ns):
            raise InputError(
                'stamp_overtaken',
                f'the image is {behind_ns * _S:.3f} s older than one that came before it, so it '
                'is dropped: two publishers share the topic, or the driver or the network '
                'reorders images.',
            )
        self._newest_ns, self._overtaken = stamp_ns, 0
        if behind_ns > 0:
            return StampVerdict.JUMPED_BACK
        if behind_ns == 0:
            return StampVerdict.DUPLICATE
        if other_clock and max_age_s:
            return StampVerdict.OTHER_CLOCK
        return StampVerdict.GOOD

    def _has_jumped(self, behind_ns: int) -> bool:
        self._overtaken += 1
        return behind_ns * _S > OVERTAKEN_S or self._overtaken > OVERTAKEN_IN_A_ROW


def _check_age(age_s: float, max_age_s: float) -> None:
    if age_s > max_age_s:
        raise InputError(
            'stamp_old',
            f'the image is {age_s:.2f} s old, more than max_frame_age_s = {max_age_s:g}: it was '
            'delayed, or a recording is played without /clock (ros2 bag play --clock, with '
            'use_sim_time true). max_frame_age_s 0 accepts any stamp.',
        )
    if -age_s > max_age_s:
        raise InputError(
            'stamp_future',
            f'the stamp of the image is {-age_s:.2f} s in the future, more than max_frame_age_s = '
            f'{max_age_s:g}: synchronize the clocks of the machines (chrony), or set '
            'use_sim_time. max_frame_age_s 0 accepts any stamp.',
        )
