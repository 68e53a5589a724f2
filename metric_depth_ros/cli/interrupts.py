# SPDX-License-Identifier: Apache-2.0
"""An end by signal that still cleans up. Standard library only."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_END_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt, so that whoever started a process ends it.

    Only in the main thread. Signals that are ignored stay so (``nohup``).
    """

    def interrupt(number: int, stack: FrameType | None) -> None:
        # `timeout` and a closing terminal signal twice: the second must not end the clean-up.
        for end in before:
            signal.signal(end, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {n: h for n in _END_SIGNALS if (h := signal.getsignal(n)) != signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
