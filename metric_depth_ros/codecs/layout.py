# SPDX-License-Identifier: Apache-2.0
"""Messages of any library, and their bytes as an array. NumPy only."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Any object with the field names of the ROS message in question; see the package docstring.
Message: TypeAlias = Any


def flat_bytes(data: Message) -> NDArray[np.uint8]:
    """View message data (array('B'), bytes, memoryview or array) as flat uint8, without a copy.

    Lists of numbers, which no ROS library sends but tests and scripts do, are copied.
    """
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    if isinstance(data, list | tuple):
        return np.array(data, np.uint8)
    return np.frombuffer(data, np.uint8) if len(data) else np.empty(0, np.uint8)
