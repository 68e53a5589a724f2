# SPDX-License-Identifier: Apache-2.0
"""Find out the kind of a golden and run it."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Protocol

from metric_depth_ros.conformance import kinds
from metric_depth_ros.conformance.golden import Check, Golden


class Kind(Protocol):
    """What a module of `kinds` offers."""

    def matches(self, golden: Golden) -> bool:
        """Whether a golden is of this kind; told by its content, never by its folder's name."""
        ...

    def checks(self, golden: Golden) -> Iterator[Check]:
        """Compute every quantity that the golden stores and hold it against the stored one."""
        ...


@cache
def all_kinds() -> dict[str, Kind]:
    """Return the known kinds of goldens by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(kinds.__path__))
    return {name: import_module(f'{kinds.__name__}.{name}') for name in names}


def find_kind(golden: Golden) -> str | None:
    """Return the name of a golden's kind, or None when no kind knows it."""
    return next((name for name, kind in all_kinds().items() if kind.matches(golden)), None)


def run_golden(golden: Golden) -> Iterator[Check]:
    """Yield the checks of a golden whose kind is known."""
    name = find_kind(golden)
    if name is None:
        raise ValueError(f'no kind of golden matches {golden.folder}')
    yield from all_kinds()[name].checks(golden)
