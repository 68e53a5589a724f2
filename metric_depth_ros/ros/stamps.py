# SPDX-License-Identifier: Apache-2.0
"""Which stamps are believed, and when a clock went back. Standard library only.

A robot's clock and a camera's clock agree within milliseconds, or not at all: a recording played
without /clock is years away. A frame that is somewhat old was delayed and is stale; a frame an
hour or more away comes from another clock, and its age can only be counted from its arrival.

A stamp before the newest one is either a message that was overtaken on its way or a clock that
went back (a bag that began anew). The first is told by how little it is behind. The second begins
everything anew. A `StampGate` admits images, and refuses those that were overtaken: whoever reads
depth in the order of its stamps has no use for them. Where they still are of use, a `BackwardJump`
tells only of clocks, and so may take its time.
"""

from __future__ import annotations

from enum import Enum

from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.errors import InputError

OTHER_CLOCK_S = 3600.0
# Farther behind than this, or this often in a row, nothing was overtaken: the clock went back.
OVERTAKEN_S = 0.2
OVERTAKEN_IN_A_ROW = 3
_MOST_STREAMS = 64


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
                f'the image has stamp {stamp_ns / NS_PER_S:g} s, with which no measurement can be '
                'paired: make the driver fill header.stamp.',
            )
        age_s = (now_ns - stamp_ns) / NS_PER_S
        other_clock = abs(age_s) > OTHER_CLOCK_S
        if max_age_s and not other_clock:
            _check_age(age_s, max_age_s)
        behind_s = (self._newest_ns - stamp_ns) / NS_PER_S
        if behind_s > 0 and not self._has_jumped(behind_s):
            raise InputError(
                'stamp_overtaken',
                f'the image is {behind_s:.3f} s older than one that came before it, so it '
                'is dropped: two publishers share the topic, or the driver or the network '
                'reorders images.',
            )
        self._newest_ns, self._overtaken = stamp_ns, 0
        if behind_s > 0:
            return StampVerdict.JUMPED_BACK
        if behind_s == 0:
            return StampVerdict.DUPLICATE
        if other_clock and max_age_s:
            return StampVerdict.OTHER_CLOCK
        return StampVerdict.GOOD

    def _has_jumped(self, behind_s: float) -> bool:
        self._overtaken += 1
        return behind_s > OVERTAKEN_S or self._overtaken > OVERTAKEN_IN_A_ROW


class BackwardJump:
    """Tell of streams whose clock went back. Streams are not compared: some are behind others.

    Parameters
    ----------
    limit_ns
        A stamp that is behind the newest of its stream by more is of a clock that went back; no
        message is overtaken by a second.
    """

    def __init__(self, limit_ns: int = NS_PER_S) -> None:
        self._limit_ns = limit_ns
        self._newest_ns: dict[str, int] = {}

    def seen(self, stamp_ns: int, stream: str = '') -> bool:
        """Take the next stamp of a stream; whether its clock went back, and all others with it."""
        newest_ns = self._newest_ns.pop(stream, stamp_ns)
        has_jumped = newest_ns - stamp_ns > self._limit_ns
        if has_jumped:
            self.forget()
        self._newest_ns[stream] = stamp_ns if has_jumped else max(newest_ns, stamp_ns)
        if len(self._newest_ns) > _MOST_STREAMS:  # names that are made up push each other out
            del self._newest_ns[next(iter(self._newest_ns))]
        return has_jumped

    def forget(self) -> None:
        """Begin anew: whatever comes next is no jump."""
        self._newest_ns.clear()


def age_on_arrival_s(stamp_ns: int, now_ns: int) -> float:
    """Return how old a frame is when it arrives; 0 where its stamp is of another clock, or ahead.

    Parameters
    ----------
    stamp_ns
        Header stamp.
    now_ns
        Clock of the node (ROS time).
    """
    age_s = (now_ns - stamp_ns) / NS_PER_S
    return age_s if 0.0 < age_s <= OTHER_CLOCK_S else 0.0


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
