# SPDX-License-Identifier: Apache-2.0
"""What the node says about itself: a status a frame, and its health once a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from metric_depth_ros.estimators.fallback import is_by_fallback
from metric_depth_ros.ros.tally import Tally

if TYPE_CHECKING:
    from rclpy.node import Node

Problem = tuple[bytes, str]  # level and sentence

NOT_ACTIVE: Problem = (DiagnosticStatus.WARN, 'The node is not active.')

_NO_PROMPT = 'The last frame had no prompt.'
_WINDOW = 100  # frames that the percentiles of /diagnostics are over


@dataclass(frozen=True)
class FrameReport:
    """How one frame was answered.

    Parameters
    ----------
    stamp_ns
        Stamp of the image.
    method
        Estimator that really answered.
    latency_ms
        From the arrival of the image in the node to the last output published.
    wait_ms, decode_ms, estimator_ms, publish_ms
        Stages: waiting for measurements, messages to a frame, the estimator, outputs.
    prompt_points
        Number of points of the prompt.
    """

    stamp_ns: int
    method: str
    latency_ms: float
    wait_ms: float
    decode_ms: float
    estimator_ms: float
    publish_ms: float
    prompt_points: int

    @property
    def by_fallback(self) -> bool:
        """Whether the fallback estimator answered."""
        return is_by_fallback(self.method)


_DROPPED = {
    'bad_input': 'were dropped as bad input',
    'stale': 'were dropped as too old',
    'failed': 'failed',
}


class Counters(Tally):
    """Counts of frames, and the latencies of the last ones. Safe between threads.

    Parameters
    ----------
    expects_prompt
        Whether a frame without a prompt is a problem.
    """

    def __init__(self, *, expects_prompt: bool = True) -> None:
        super().__init__(
            'frames_in', 'frames_out', 'fallback', 'stale', 'bad_input', 'failed', 'idle'
        )
        self.expects_prompt = expects_prompt
        self._recent: deque[FrameReport] = deque(maxlen=_WINDOW)
        self._lacking = ''  # what the prompt of the newest frame lacked
        self._idle_before = 0  # when the last frame was answered

    def begin(self) -> None:
        """Forget the frames of before: they say nothing about those to come. Counts go on."""
        with self._lock:
            self._recent.clear()
            self._lacking = ''
        self._idle_before = self['idle']

    @property
    def is_idle(self) -> bool:
        """Whether the last frames were not answered because nobody subscribes."""
        return self['idle'] > self._idle_before

    def answered(self, report: FrameReport) -> None:
        """Count a frame that was published."""
        self.count('frames_out')
        self.count('fallback', report.by_fallback)
        with self._lock:
            self._recent.append(report)
            self._lacking = _prompt_problem(report)
        self._idle_before = self['idle']

    def idled(self, prompt_points: int) -> None:
        """Count a frame that was checked and not answered, with the points of its prompt."""
        self.count('idle')
        with self._lock:
            self._lacking = '' if prompt_points else _NO_PROMPT

    def recent(self) -> list[FrameReport]:
        """Return the reports of the last frames, oldest first."""
        with self._lock:
            return list(self._recent)

    def usual_s(self) -> float:
        """Return the time from an image to its depth, the median of the last frames; 0 unknown."""
        times_ms = [report.latency_ms for report in self.recent()]
        return float(np.median(times_ms)) * 1e-3 if times_ms else 0.0

    def new_problems(self) -> list[Problem]:
        """Return what has gone wrong since this was asked last."""
        problems = counted_problems(self.new(), 'frames', _DROPPED)
        return problems + lasting_problem(self._lacking if self.expects_prompt else '')

    def totals(self, replaced: int) -> dict[str, int]:
        """Return all counts by name."""
        return {**self.counts(), 'replaced': replaced}


def frame_status(
    name: str, hardware_id: str, report: FrameReport, counters: Counters, replaced: int
) -> DiagnosticStatus:
    """Return the message of ``~/status`` about a frame."""
    lacking = counters.expects_prompt and _prompt_problem(report)
    return status_message(
        name,
        hardware_id,
        DiagnosticStatus.WARN if lacking else DiagnosticStatus.OK,
        f'{report.method}, {report.prompt_points or "no"} prompt points',
        {**asdict(report), **counters.totals(replaced)},
    )


def _prompt_problem(report: FrameReport) -> str:
    """Return what a frame's prompt lacked, empty for nothing."""
    if report.by_fallback:
        return f'{report.method} answers: the last prompt had {report.prompt_points} points.'
    return '' if report.prompt_points else _NO_PROMPT


def counted_problems(new: Mapping[str, int], what: str, words: Mapping[str, str]) -> list[Problem]:
    """Return a problem for each count that has grown.

    Parameters
    ----------
    new
        By how much, by name.
    what
        Of what the counts are.
    words
        What became of them, by the name of their count; others are no problem.
    """
    return [
        (DiagnosticStatus.WARN, f'{new[name]} {what} {became}.')
        for name, became in words.items()
        if new[name]
    ]


def lasting_problem(sentence: str) -> list[Problem]:
    """Return the problem that a sentence tells of, none where it is empty."""
    return [(DiagnosticStatus.WARN, sentence)] if sentence else []


def health_status(
    name: str,
    hardware_id: str,
    problems: list[Problem],
    counters: Counters,
    replaced: int,
    extra: Mapping[str, object],
) -> DiagnosticStatus:
    """Return the node's status for ``/diagnostics``.

    Parameters
    ----------
    name, hardware_id
        Of the status: the node, and the camera frame; the name of the node while no image has
        told that.
    problems
        (level, sentence) each, none when all is well; the worst decides the level.
    counters, replaced
        What has happened so far.
    extra
        More values to show, by name.
    """
    recent = counters.recent()
    values: dict[str, object] = dict(counters.totals(replaced))
    for stage in ('latency_ms', 'estimator_ms', 'wait_ms'):
        times = [getattr(report, stage) for report in recent]
        for percent in (50, 95, 99) if times else ():
            values[f'{stage}_p{percent}'] = float(np.percentile(times, percent))
    if recent:
        values['method'] = recent[-1].method
        values['prompt_points'] = recent[-1].prompt_points
    words = 'frames are answered' if recent else 'no frame has been answered yet'
    if counters.is_idle:
        words = 'nobody subscribes: images are checked'
    return problems_status(name, hardware_id, problems, words, {**values, **extra})


def unique_name(node: Node) -> str:
    """Return how a status names a node: whoever gathers them keeps one of each name."""
    return str(node.get_fully_qualified_name().lstrip('/'))


def problems_status(
    name: str,
    hardware_id: str,
    problems: list[Problem],
    all_well: str,
    values: Mapping[str, object],
) -> DiagnosticStatus:
    """Return a status that tells the problems, and takes its level from the worst of them.

    Parameters
    ----------
    name, hardware_id
        Of the status.
    problems
        (level, sentence) each.
    all_well
        What is said where there are none.
    values
        To show, by name.
    """
    level = max((level for level, _ in problems), default=DiagnosticStatus.OK)
    message = ' '.join(sentence for _, sentence in problems) or all_well
    return status_message(name, hardware_id, level, message, values)


def status_message(
    name: str, hardware_id: str, level: bytes, message: str, values: Mapping[str, object]
) -> DiagnosticStatus:
    """Return a status with its values as words."""
    return DiagnosticStatus(
        level=level,
        name=name,
        hardware_id=hardware_id,
        message=message,
        values=[KeyValue(key=key, value=_word(value)) for key, value in values.items()],
    )


def _word(value: object) -> str:
    return f'{value:.3f}' if isinstance(value, float) else str(value)
