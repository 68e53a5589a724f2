# SPDX-License-Identifier: Apache-2.0
"""Number of CPU threads that the alignment runs on. Torch only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the operations of a block, or of a decorated function, on the calling thread only.

    The alignment is hundreds of operations of some 10 microseconds to 1 millisecond. Sharing
    each among threads gains nothing on idle cores, and on busy ones every operation waits for
    its slowest share: tens of times longer in all.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
