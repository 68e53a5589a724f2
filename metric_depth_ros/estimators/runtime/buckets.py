# SPDX-License-Identifier: Apache-2.0
"""Which input shapes have fast code of their own.

Compiling stalls a camera for many seconds and its code serves one shape. An odd image therefore
takes the plain way, with the same result; only a shape that stays gets code.
"""

from __future__ import annotations

from collections.abc import Hashable

LARGEST_COUNT = 4
STEADY_AFTER = 8


class Buckets:
    """Shapes that are worth compiling for: the first one, warmed-up ones, and steady ones."""

    def __init__(self) -> None:
        self._shapes: set[Hashable] = set()
        self._last: Hashable = None
        self._streak = 0

    def admits(self, shape: Hashable, *, at_once: bool = False) -> bool:
        """Tell whether to run fast code on an input, and remember it.

        Parameters
        ----------
        shape
            Everything that compiled code depends on.
        at_once
            Admit a new shape without waiting (warm-up).
        """
        self._streak = self._streak + 1 if shape == self._last else 1
        self._last = shape
        if shape in self._shapes:
            return True
        steady = at_once or not self._shapes or self._streak > STEADY_AFTER
        if steady and len(self._shapes) < LARGEST_COUNT:
            self._shapes.add(shape)
            return True
        return False
