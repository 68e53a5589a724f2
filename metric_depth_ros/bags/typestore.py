# SPDX-License-Identifier: Apache-2.0
"""The message definitions that bags are written and decoded with. Imports rosbags only."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Return the ROS 2 Jazzy typestore; the messages used here are the same in every distro."""
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_JAZZY)
