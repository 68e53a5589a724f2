# SPDX-License-Identifier: Apache-2.0
"""Reports of bad input: every one counted, each kind logged at most once in a while."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection


class FaultLog:
    """Count faults by topic and kind, and log them throttled.

    Parameters
    ----------
    warn
        Where a line goes, e.g. ``node.get_logger().warning``.
    throttle_s
        Least time between two lines about the same topic and fault.
    """

    def __init__(self, warn: Callable[[str], object], throttle_s: float) -> None:
        self.throttle_s = throttle_s
        self._warn = warn
        self._counts: Counter[tuple[str, str]] = Counter()
        self._logged_s: dict[tuple[str, str], float] = {}
        self._unseen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def report(self, topic: str, fault: str, message: str) -> None:
        """Count a fault of a topic; log it unless that was done a moment ago."""
        key = (topic, fault)
        with self._lock:
            self._counts[key] += 1
            now_s = time.monotonic()
            if now_s - self._logged_s.get(key, -float('inf')) < self.throttle_s:
                self._unseen[key] += 1
                return
            self._logged_s[key] = now_s
            repeats = self._unseen.pop(key, 0)
        again = f' (and {repeats} more since the last report)' if repeats else ''
        self._warn(f'{topic} [{fault}]: {message}{again}')

    def report_once(self, topic: str, fault: str, message: str) -> None:
        """Report a fault that lasts, the first time that it is seen."""
        if (topic, fault) not in self.counts():
            self.report(topic, fault, message)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return the number of faults by (topic, fault)."""
        with self._lock:
            return dict(self._counts)

    def values(self, elsewhere: Collection[str] = ()) -> dict[str, int]:
        """Return the same by ``'topic fault'``, as /diagnostics shows it.

        Parameters
        ----------
        elsewhere
            Topics that are left out.
        """
        return {
            f'{topic} {fault}': count
            for (topic, fault), count in self.counts().items()
            if topic not in elsewhere
        }
