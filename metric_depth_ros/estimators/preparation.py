# SPDX-License-Identifier: Apache-2.0
"""Work that is done once for many frames and may take any time, as compiling.

It is told apart from the frames, so that whoever waits for one knows a hang from it. Standard
library only.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Preparation:
    """When there was such work last; it may be done in several threads."""

    def __init__(self) -> None:
        self._threads = 0
        self._ended_s = 0.0
        self._changing = threading.Lock()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Do such work in a block."""
        with self._changing:
            self._threads += 1
        try:
            yield
        finally:
            with self._changing:
                self._threads -= 1
                self._ended_s = time.monotonic()

    def ended_s(self) -> float:
        """Return the monotonic time at which it ended, 0 if it never began, inf until it ends."""
        with self._changing:
            return math.inf if self._threads else self._ended_s
