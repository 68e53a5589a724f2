# SPDX-License-Identifier: Apache-2.0
"""Messages of one instant, gathered from several topics by their stamp. Standard library only.

The outputs of the depth node carry the header of their image, so whatever belongs together has
the same stamp to the nanosecond. Some outputs are always there and some only for some methods: a
set waits for a message that usually comes, and not for one that has stopped coming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from metric_depth_ros.ros.stamps import BackwardJump
from metric_depth_ros.ros.tally import Tally

M = TypeVar('M')

# Sets that have all they need wait for what they may lack, this many at most.
_READY = 2
# An optional stream that was missing from this many sets in a row is waited for no more.
_PATIENCE = 3


class StampSets(Generic[M]):
    """Gather messages into sets.

    Parameters
    ----------
    required
        Streams that a set needs.
    optional
        Streams that a set may lack.
    on_set
        Called with the stamp (ns) and the messages by stream, in the order of the stamps.
    on_jump
        Called when the stamps went back: a bag or a simulation began anew.
    capacity
        Stamps that wait for the rest of their messages, at most. A camera is faster than the
        depth of its images: what it sends meanwhile must find room. Where it finds none, the
        oldest images are given up, and their depth comes without them.
    expect_optional
        Whether to wait for the optional streams from the first set on, since they are known to
        send; otherwise they are waited for once they were heard.
    """

    def __init__(
        self,
        required: Sequence[str],
        optional: Sequence[str],
        on_set: Callable[[int, dict[str, M]], None],
        on_jump: Callable[[], None] = lambda: None,
        capacity: int = 5,
        expect_optional: bool = False,
    ) -> None:
        # Messages of the first stream whose stamp another one never had.
        self.tally = Tally('incomplete')
        self._required = tuple(required)
        self._optional = tuple(optional)
        self._on_set = on_set
        self._on_jump = on_jump
        self._capacity = capacity
        self._missing = dict.fromkeys(optional, 0 if expect_optional else _PATIENCE)
        self._waiting: dict[int, dict[str, M]] = {}
        self._jumps = BackwardJump()  # of the required streams
        self._delivered_ns = -1

    def add(self, stream: str, message: M, stamp_ns: int) -> None:
        """Take the next message of a stream."""
        if stream in self._missing:
            self._missing[stream] = 0
        elif self._jumps.seen(stamp_ns, stream):
            self._waiting.clear()
            self._delivered_ns = -1
            self._on_jump()
        if stamp_ns <= self._delivered_ns:
            return
        self._waiting.setdefault(stamp_ns, {})[stream] = message
        ready = [stamp for stamp in self._waiting if self._has_required(stamp)]
        whole = [stamp for stamp in ready if self._has_optional(stamp)]
        if whole:
            self._deliver(max(whole))
        elif len(ready) > _READY:
            self._deliver(min(ready))
        elif len(self._waiting) > self._capacity:
            self._make_room()

    def flush(self) -> None:
        """Deliver what waits for optional messages: no more will come."""
        if self._waiting:
            self._deliver(max(self._waiting))

    def _make_room(self) -> None:
        """Give up the oldest optional messages, whose required ones still come; else a set."""
        optional = self._missing.keys()
        alone = [stamp for stamp, found in self._waiting.items() if found.keys() <= optional]
        if alone:
            del self._waiting[min(alone)]
        else:
            self._deliver(min(self._waiting))

    def _has_required(self, stamp_ns: int) -> bool:
        return all(stream in self._waiting[stamp_ns] for stream in self._required)

    def _has_optional(self, stamp_ns: int) -> bool:
        """Tell whether a set has all that usually comes."""
        waited_for = (s for s, missing in self._missing.items() if missing < _PATIENCE)
        return all(stream in self._waiting[stamp_ns] for stream in waited_for)

    def _deliver(self, until_ns: int) -> None:
        """Deliver all sets up to a stamp; those before it will not be completed any more."""
        for stamp_ns in sorted(s for s in self._waiting if s <= until_ns):
            is_ready = self._has_required(stamp_ns)
            messages = self._waiting.pop(stamp_ns)
            self._delivered_ns = stamp_ns
            if not is_ready:
                self.tally.count('incomplete', self._required[0] in messages)
                continue
            for stream in self._optional:
                if stream not in messages:
                    self._missing[stream] += 1
            self._on_set(stamp_ns, messages)
