# SPDX-License-Identifier: Apache-2.0
"""Clear away the shared memory of processes that were killed. Standard library only.

Fast DDS gives back its segments when a process ends, but not when it is killed: 70 MB each with
the shipped profile, until the machine has none left. A segment whose lock nobody holds belongs to
nobody; that is what ``fastdds shm clean`` goes by, too.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

FOLDER = Path('/dev/shm')
_SEGMENT = re.compile(r'^(fastrtps|fastdds)_[0-9a-f]{16}$')


def clear_orphans(folder: Path = FOLDER) -> int:
    """Remove the segments of processes that are gone; return how many."""
    try:
        import fcntl

        names = [path.name for path in folder.iterdir()]
    except (ImportError, OSError):  # not Linux, or no shared memory
        return 0
    removed = 0
    for name in filter(_SEGMENT.match, names):
        lock = folder / f'{name}_el'
        # Of another user, or gone meanwhile: not ours to clear away.
        with suppress(OSError), lock.open('rb+') as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (folder / name).unlink()
            lock.unlink()
            removed += 1
    return removed
