# SPDX-License-Identifier: Apache-2.0
"""The order in which threads that work side by side hand out what they have made.

Standard library only; knows no ROS.
"""

from __future__ import annotations

import threading


class Sequencer:
    """Numbers that are drawn in order and called in order, however long each holder takes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._drawn = 0
        self._done: set[int] = set()
        self._called = 0
        self._abandoned = False

    def draw(self) -> int:
        """Return the next number."""
        with self._changed:
            self._drawn += 1
            return self._drawn - 1

    def wait_for(self, turn: int) -> bool:
        """Wait until all earlier numbers are done; False where nobody is called any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or self._called == turn)
            return not self._abandoned

    def done(self, turn: int) -> None:
        """Give a number back, whether or not it was waited for."""
        with self._changed:
            self._done.add(turn)
            while self._called in self._done:
                self._done.remove(self._called)
                self._called += 1
            self._changed.notify_all()

    def abandon(self) -> None:
        """Let nobody wait any more: the holder of an earlier number may never come back."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
