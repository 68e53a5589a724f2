# SPDX-License-Identifier: Apache-2.0
"""Number of CPU threads that estimators run on. Torch only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Told once: a thread whose first operation falls into the time in which another thread runs on
# fewer would be told that number for good.
CORES = torch.get_num_threads()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Share the operations of the calling thread among so many, in a block or a function."""
    before = torch.get_num_threads()
    if count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the operations of a block, or of a decorated function, on the calling thread only.

    The alignment is hundreds of operations of some 10 microseconds to 1 millisecond. Sharing
    each among threads gains nothing on idle cores, and on busy ones every operation waits for
    its slowest share: tens of times longer in all.
    """
    with threads(1):
        yield
