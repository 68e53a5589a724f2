# SPDX-License-Identifier: Apache-2.0
"""Time stamps of librealsense to ROS time. Standard library only.

librealsense names the clock of each stamp. `system_time` and `global_time` are this machine's
(the first when a frame arrived, the second when it was taken, by librealsense's model of the
camera's clock). `hardware_clock` is the camera's own, with an unknown beginning, and so is every
clock of a recording that is played later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.ros.stamps import BackwardJump

# Stamps: 5 s of two streams at 30 Hz, in which a quartz that is 50 ppm off drifts by 0.25 ms.
_WINDOW = 300
# Streams of one clock are a period or two behind each other, which at 6 Hz are 0.3 s; and a
# recording that is played again may be shorter than a second.
_JUMP_NS = NS_PER_S // 2
_PLAYED_LATE_S = 0.2
_NS_A_MS = 1_000_000


class ForeignClock:
    """Another clock, related to ours by when its stamps arrive.

    A frame arrives some time after it was taken, and never before: of the recent offsets the
    smallest is the best. What remains is the least delay of the way here, by which all stamps are
    late, and which cannot be seen from here.

    Parameters
    ----------
    now_ns
        Our clock.
    max_late_s
        A stamp that would be older than this on its arrival begins a new relation: a recording
        has been played slower than it was made. None believes any age.
    """

    def __init__(self, now_ns: Callable[[], int], max_late_s: float | None = None) -> None:
        self._now_ns = now_ns
        self._max_late_s = max_late_s
        self._offsets: deque[int] = deque(maxlen=_WINDOW)
        self._jumps = BackwardJump(_JUMP_NS)

    def observe(self, foreign_ns: int) -> None:
        """Learn from a stamp that arrives now."""
        if self._jumps.seen(foreign_ns):  # the camera or the recording began anew
            self._offsets.clear()
        offset = self._now_ns() - foreign_ns
        if self._offsets and self._max_late_s is not None:
            late_s = (offset - min(self._offsets)) / NS_PER_S
            if late_s > self._max_late_s:
                self._offsets.clear()
        self._offsets.append(offset)

    def to_ours(self, foreign_ns: int) -> int:
        """Return a stamp as one of our clock, by what has been observed."""
        return foreign_ns + min(self._offsets)


class RosStamps:
    """Stamps of the frames of one camera, or of one recording.

    Parameters
    ----------
    now_ns
        Clock of the node (ROS time).
    as_they_are
        Take every stamp as it is, whatever clock it is of.
    recorded
        No clock is ours: these frames are played from a recording.
    """

    def __init__(
        self, now_ns: Callable[[], int], *, as_they_are: bool = False, recorded: bool = False
    ) -> None:
        max_late_s = _PLAYED_LATE_S if recorded else None
        self._of_camera = ForeignClock(now_ns, max_late_s)
        self._of_recorder = ForeignClock(now_ns, max_late_s)
        self._as_they_are = as_they_are
        self._recorded = recorded

    def stamps_ns(self, *frames: tuple[float, str]) -> list[int]:
        """Return the ROS stamps of frames that have just arrived together.

        Parameters
        ----------
        frames
            ``frame.get_timestamp()`` in milliseconds, and the name of its clock, each:
            ``'hardware_clock'``, ``'system_time'`` or ``'global_time'``.
        """
        stamps = [(_nanoseconds(ms), self._clock_of(domain)) for ms, domain in frames]
        for stamp, clock in stamps:
            if clock is not None:
                clock.observe(stamp)
        return [stamp if clock is None else clock.to_ours(stamp) for stamp, clock in stamps]

    def _clock_of(self, domain: str) -> ForeignClock | None:
        """Return the clock that a stamp is of, None where it is taken as it is."""
        if self._as_they_are:
            return None
        if domain == 'hardware_clock':
            return self._of_camera
        return self._of_recorder if self._recorded else None


def _nanoseconds(timestamp_ms: float) -> int:
    """Return milliseconds as nanoseconds: since 1970, those do not fit into a float."""
    whole_ms = int(timestamp_ms)
    return whole_ms * _NS_A_MS + round((timestamp_ms - whole_ms) * _NS_A_MS)
