# SPDX-License-Identifier: Apache-2.0
"""Arrays that are made once and kept for the frames to come, within bounds. NumPy only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Key = TypeVar('Key', bound=Hashable)
Arrays = tuple[NDArray[np.float32], NDArray[np.float32]]


class ArrayCache(Generic[Key]):
    """Pairs of arrays by what they are made from; those that were used last are kept.

    Parameters
    ----------
    make
        Makes the arrays of a key.
    most, most_bytes
        Bounds of what is kept. The newest arrays are kept however large they are.
    """

    def __init__(self, make: Callable[[Key], Arrays], most: int, most_bytes: int) -> None:
        self._make = make
        self._most, self._most_bytes = most, most_bytes
        self._kept: dict[Key, Arrays] = {}  # in the order of their last use
        self._lock = threading.Lock()

    def get(self, key: Key) -> Arrays:
        """Return the arrays of a key, made now if they are not kept."""
        with self._lock:
            arrays = self._kept.pop(key, None)
            if arrays is not None:
                self._kept[key] = arrays
                return arrays
        arrays = self._make(key)  # which takes long; the keys of other threads need not wait
        with self._lock:
            self._kept[key] = arrays
            self._forget_oldest()
        return arrays

    def _forget_oldest(self) -> None:
        held = sum(map(_bytes, self._kept.values()))
        while len(self._kept) > 1 and (len(self._kept) > self._most or held > self._most_bytes):
            held -= _bytes(self._kept.pop(next(iter(self._kept))))


def _bytes(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays)
