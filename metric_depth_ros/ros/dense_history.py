# SPDX-License-Identifier: Apache-2.0
"""The last estimates of a depth node, undecoded, and which of them answers. Knows no ROS."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.errors import InputError


@dataclass(frozen=True, eq=False)
class KeptEstimate:
    """Messages of one stamp, by topic, and the monotonic time at which they were complete."""

    stamp_ns: int
    messages: Mapping[str, Any]
    arrived_s: float


class DenseHistory:
    """The last estimates.

    Parameters
    ----------
    capacity
        How many are kept.
    """

    def __init__(self, capacity: int) -> None:
        self._kept: deque[KeptEstimate] = deque(maxlen=capacity)

    def keep(self, stamp_ns: int, messages: Mapping[str, Any]) -> None:
        """Add the newest estimate."""
        self._kept.append(KeptEstimate(stamp_ns, messages, time.monotonic()))

    def clear(self) -> None:
        """Forget all: their clock went back."""
        self._kept.clear()

    def newest(self) -> KeptEstimate:
        """Return the newest estimate.

        Raises
        ------
        InputError
            ``'depth_missing'``: there is none yet.
        """
        if not self._kept:
            raise InputError(
                'depth_missing',
                'no depth estimate has been received yet: check that the depth node is active, '
                'and remap depth/image and depth/camera_info to its outputs.',
            )
        return self._kept[-1]

    def nearest(self, stamp_ns: int, max_difference_s: float) -> KeptEstimate:
        """Return the estimate with the nearest stamp.

        Raises
        ------
        InputError
            ``'depth_missing'``, or ``'stamp_unmatched'``: none is near enough.
        """
        self.newest()
        found = min(self._kept, key=lambda kept: abs(kept.stamp_ns - stamp_ns))
        away_s = (found.stamp_ns - stamp_ns) / NS_PER_S
        if abs(away_s) > max_difference_s:
            raise InputError(
                'stamp_unmatched',
                f'the estimate nearest to the stamp of the pixel is {abs(away_s):.3f} s '
                f'{"after" if away_s > 0 else "before"} it, more than max_stamp_difference_s = '
                f'{max_difference_s:g}: it is not computed yet, or forgotten (parameter history), '
                'or set match_stamp to false.',
            )
        return found
