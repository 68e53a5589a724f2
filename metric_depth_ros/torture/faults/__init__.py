# SPDX-License-Identifier: Apache-2.0
"""The faults of the campaign, by what they hit."""

from __future__ import annotations

from metric_depth_ros.torture.fault import Fault
from metric_depth_ros.torture.faults import (
    clocks,
    estimators,
    lifecycle,
    messages,
    processes,
    streams,
)

LIVE_FAULTS: tuple[Fault, ...] = (
    *messages.FAULTS,
    *streams.FAULTS,
    *clocks.FAULTS,
    *estimators.FAULTS,
    *lifecycle.FAULTS,
    *processes.FAULTS,
)
