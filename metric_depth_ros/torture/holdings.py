# SPDX-License-Identifier: Apache-2.0
"""What a process holds of the machine, read from /proc: what it must not gather over time."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from pathlib import Path

import psutil

_SHARED_MEMORY = Path('/dev/shm')
_PREFIXES = ('fastrtps_', 'fastdds_', 'sem.fastrtps_')


@dataclass(frozen=True)
class Holdings:
    """Threads, child processes, file descriptors, shared-memory segments, resident memory."""

    threads: int
    processes: int
    descriptors: int
    segments: int
    rss_mb: float

    def grown_beyond(self, earlier: Holdings) -> dict[str, int]:
        """Return what there is more of than earlier, memory aside."""
        names = ('threads', 'processes', 'descriptors', 'segments')
        grown = {name: getattr(self, name) - getattr(earlier, name) for name in names}
        return {name: more for name, more in grown.items() if more > 0}


def holdings_of(pid: int) -> Holdings:
    """Return what a process holds now."""
    process = psutil.Process(pid)
    return Holdings(
        threads=process.num_threads(),
        processes=len(process.children(recursive=True)),
        descriptors=process.num_fds(),
        segments=len(segments_of(pid)),
        rss_mb=process.memory_info().rss / 1e6,
    )


def segments_of(pid: int) -> set[str]:
    """Return the shared-memory files that a process has mapped."""
    try:
        maps = Path(f'/proc/{pid}/maps').read_text(encoding='utf-8')
    except OSError:
        return set()
    prefix = f'{_SHARED_MEMORY}/'
    paths = (line.partition(prefix)[2].split(' ')[0] for line in maps.splitlines())
    return {path for path in paths if path.startswith(_PREFIXES)}


def orphans_of(segments: set[str]) -> set[str]:
    """Return which of these segments still lie in /dev/shm, though nobody owns them any more.

    Ports belong to the domain and are shared by whoever is in it; they are not counted.
    """
    return {name for name in segments if 'port' not in name and _is_orphan(name)}


def _is_orphan(name: str) -> bool:
    try:
        with (_SHARED_MEMORY / f'{name}_el').open('rb+') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return (_SHARED_MEMORY / name).exists()
    except OSError:  # gone, or held by its owner
        return False
