# SPDX-License-Identifier: Apache-2.0
"""Keep the memory of one frame for the next. Standard library only.

The C library returns every freed array of an image's size to the kernel and takes it back a
moment later, zeroed page by page: thousands of page faults a frame, up to half of the time of the
array code. A node that computes the same arrays for every frame is better off keeping them.
"""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_KEPT_BYTES = 256 * 1024 * 1024
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024  # glibc refuses more


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory for reuse; False where it is not glibc."""
    if not sys.platform.startswith('linux'):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    return bool(
        mallopt(_M_ARENA_MAX, 1)
        and mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    )
