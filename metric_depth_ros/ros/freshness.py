# SPDX-License-Identifier: Apache-2.0
"""Whether what has arrived is recent enough to answer with. Standard library only."""

from __future__ import annotations

import time

from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.stamps import OTHER_CLOCK_S


def age_s(stamp_ns: int, arrived_s: float, now_ns: int) -> float:
    """Return the age of a message by its stamp, or since its arrival where that cannot be.

    A stamp of the future, or of more than an hour ago, is of another clock.

    Parameters
    ----------
    stamp_ns
        Its header stamp.
    arrived_s
        Monotonic time at which it arrived.
    now_ns
        Clock of the node (ROS time).
    """
    age = (now_ns - stamp_ns) / NS_PER_S
    return age if 0.0 <= age <= OTHER_CLOCK_S else time.monotonic() - arrived_s


def check_age(what: str, age: float, max_age_s: float) -> None:
    """Refuse what is too old; a limit of 0 refuses nothing.

    Raises
    ------
    InputError
        ``'stale'``.
    """
    if max_age_s and age > max_age_s:
        raise InputError(
            'stale',
            f'the newest {what} is {age:.2f} s old, more than max_age_s = {max_age_s:g}: nothing '
            'is answered from it. Check that it is published; max_age_s 0 accepts any age.',
        )
