# SPDX-License-Identifier: Apache-2.0
"""One number for every block, so that sets of blocks are sorted arrays. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BITS = 21
_HALF = 1 << (_BITS - 1)


def numbers_of(blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of blocks (N, 3); unique up to a million blocks each way."""
    x, y, z = (blocks + _HALF).T
    return (x << (2 * _BITS)) | (y << _BITS) | z


def blocks_of(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the blocks (N, 3) of their numbers."""
    shifted = [numbers >> (_BITS * i) & ((1 << _BITS) - 1) for i in (2, 1, 0)]
    return np.stack(shifted, axis=1) - _HALF
