# SPDX-License-Identifier: Apache-2.0
"""Stamps of messages as nanoseconds, and back. Standard library only."""

from __future__ import annotations

from typing import Any

NS_PER_S = 1_000_000_000


def stamp_ns(stamp: Any) -> int:
    """Return a builtin_interfaces/Time of any library in nanoseconds."""
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)


def sec_nanosec(ns: int) -> tuple[int, int]:
    """Return nanoseconds as the two fields of a builtin_interfaces/Time."""
    return divmod(ns, NS_PER_S)
