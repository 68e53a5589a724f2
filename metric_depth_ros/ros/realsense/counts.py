# SPDX-License-Identifier: Apache-2.0
"""How many frames of each stream came, how many were lost, and how fast. Knows no ROS."""

from __future__ import annotations

import threading
import time
from collections import deque

_WINDOW = 60  # frames that a rate is over


class FrameCounts:
    """Counts of one camera. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._newest: dict[str, tuple[int, float]] = {}
        self._arrived_s: dict[str, deque[float]] = {}

    def restart(self) -> None:
        """Begin anew with a camera that counts its frames anew; totals stay."""
        with self._lock:
            self._newest.clear()
            self._arrived_s.clear()

    def count(self, stream: str, number: int, timestamp_ms: float) -> bool:
        """Count a frame by the number and the stamp of the camera; False if it came before.

        librealsense repeats the older frame of a pair when its streams differ in rate.
        """
        with self._lock:
            before = self._newest.get(stream)
            if before == (number, timestamp_ms):
                return False
            self._newest[stream] = number, timestamp_ms
            self._frames[stream] = self._frames.get(stream, 0) + 1
            gap = 0 if before is None else max(0, number - before[0] - 1)
            self._lost[stream] = self._lost.get(stream, 0) + gap
            arrived_s = self._arrived_s.setdefault(stream, deque(maxlen=_WINDOW))
            arrived_s.append(time.monotonic())
            return True

    def values(self) -> dict[str, object]:
        """Return the counts by name: ``frames_color``, ``lost_color``, ``rate_color_hz``..."""
        with self._lock:
            values: dict[str, object] = {}
            for stream, frames in self._frames.items():
                values[f'frames_{stream}'] = frames
                values[f'lost_{stream}'] = self._lost[stream]
                arrived_s = self._arrived_s.get(stream)
                if arrived_s is not None and len(arrived_s) > 1:
                    span_s = time.monotonic() - arrived_s[0]  # less and less of what has stopped
                    values[f'rate_{stream}_hz'] = (len(arrived_s) - 1) / max(span_s, 1e-9)
            return values
