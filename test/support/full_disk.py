# SPDX-License-Identifier: Apache-2.0
"""A disk that is full."""

import resource
from contextlib import contextmanager


@contextmanager
def no_room():
    """Let files of this process end after a thousand bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
