# SPDX-License-Identifier: Apache-2.0
"""Counts by name, and what is new of them. Standard library only."""

from __future__ import annotations

import threading


class Tally:
    """Counts by name. Safe between threads.

    Parameters
    ----------
    names
        Of the counts, which begin at 0.
    """

    def __init__(self, *names: str) -> None:
        self._counts = dict.fromkeys(names, 0)
        self._told = dict(self._counts)
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> int:
        """Return a count."""
        return self._counts[name]

    def count(self, name: str, times: int = 1) -> None:
        """Add to a count."""
        with self._lock:
            self._counts[name] += times

    def counts(self) -> dict[str, int]:
        """Return all counts by name."""
        with self._lock:
            return dict(self._counts)

    def new(self) -> dict[str, int]:
        """Return what has been added to each since this was asked last."""
        with self._lock:
            before, self._told = self._told, dict(self._counts)
            return {name: count - before[name] for name, count in self._told.items()}
