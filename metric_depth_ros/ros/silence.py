# SPDX-License-Identifier: Apache-2.0
"""Diagnostics of topics without messages, and their likely cause."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus

from metric_depth_ros.ros.diagnostics import Problem
from metric_depth_ros.ros.faults import FaultLog

_SILENT_PERIODS = 2.0
# However often health is told: a sensor of 1 Hz is not silent, though a message comes early and
# the next one late.
_LEAST_PERIOD_S = 1.0
_LOGGED_AFTER_S = 5.0  # discovery takes up to 3 s, and cameras start up


def silent_after_s(period_s: float) -> float:
    """Return after how long a topic is silent, where health is told in such a period."""
    return _SILENT_PERIODS * max(period_s, _LEAST_PERIOD_S)


class Silence:
    """What is told of topics that are subscribed and send nothing.

    Parameters
    ----------
    node
        Node that subscribes.
    streams
        Name of the topic as the node subscribes to it, and message type, of each stream.
    faults
        Where a topic that has never sent is reported, once.
    """

    def __init__(
        self, node: Any, streams: Mapping[str, tuple[str, type]], faults: FaultLog
    ) -> None:
        self._node = node
        self._streams = dict(streams)
        self._faults = faults
        self._began_s = time.monotonic()

    def problem(self, stream: str, topic: str, silent_s: float | None) -> Problem:
        """Return the problem of a stream; without images there is no depth.

        Parameters
        ----------
        stream, topic
            The stream, and its topic as remapped.
        silent_s
            Since when nothing has come, None where nothing ever has.
        """
        level = DiagnosticStatus.ERROR if stream == 'image' else DiagnosticStatus.WARN
        since = 'never sent' if silent_s is None else f'silent for {silent_s:.1f} s'
        sentence = f'{since} {self._cause(stream)}'
        if silent_s is None and time.monotonic() - self._began_s > _LOGGED_AFTER_S:
            self._faults.report_once(topic, 'never_sent', sentence)
        return level, f'{topic} {sentence}'

    def _cause(self, stream: str) -> str:
        name, kind = self._streams[stream]
        expected = f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'
        # By the name before remapping: rclpy remaps it here, and would remap another once more.
        types = [info.topic_type for info in self._node.get_publishers_info_by_topic(name)]
        others = sorted({found for found in types if found != expected})
        remap = f'remap {name} (-r {name}:=TOPIC)'
        if others:
            return (
                f'({len(types)} publishers): it is published as {", ".join(others)}, expected '
                f'{expected}; {remap} to a topic of that type.'
            )
        if not types:
            return f'(0 publishers): start what publishes it, or {remap}.'
        return f'({len(types)} publishers).'
