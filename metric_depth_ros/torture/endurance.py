# SPDX-License-Identifier: Apache-2.0
"""Thousands of frames one after the other: what the node holds must not grow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sensor_msgs.msg import Image

from metric_depth_ros.codecs.stamps import stamp_ns
from metric_depth_ros.torture.fault import Outcome
from metric_depth_ros.torture.good_stream import frame
from metric_depth_ros.torture.rig import NotObservedError, Rig

SIZE = (160, 120)  # a quarter of VGA
LEAST_FRAMES = 1_000
_EARLY_FRAMES = 1_000  # a tenth of all where that is less
MAX_GROWTH = 1.05
MAX_LOST = 0.001  # of all: the middleware may lose one
_ANSWER_S = 5.0
_TOLD_EVERY = 100


@dataclass
class _Answers:
    """Stamp of the newest answer, and what wakes whoever waits for it."""

    newest_ns: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def receive(self, message: Image) -> None:
        with self.changed:
            self.newest_ns = stamp_ns(message.header.stamp)
            self.changed.notify_all()

    def wait_for(self, stamp: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.newest_ns >= stamp, _ANSWER_S)


def run_endurance(
    folder: Path, frames: int, tell: Callable[[str], object] = lambda line: None
) -> Outcome:
    """Send frames of a quarter of VGA as fast as they are answered, and watch what is held.

    Parameters
    ----------
    folder
        For the log of the node.
    frames
        To send, `LEAST_FRAMES` or more.
    tell
        Called with a line now and then.

    Raises
    ------
    NotObservedError
        The node died.
    """
    began_s = time.monotonic()
    early_frames = min(_EARLY_FRAMES, frames // 10)
    expected = (
        f'99.9 % answered; resident memory after {frames} frames within 5 % of that after '
        f'{early_frames}, and no more threads, processes, descriptors and shared memory'
    )
    parameters = {'estimator': 'classical:fast', 'estimator_timeout_s': 60.0}
    with Rig(folder, parameters) as rig:
        rig.pause_stream()
        answers = _Answers()
        rig.ros.create_subscription(Image, 'depth/image', answers.receive, 10)
        early = rig.holdings()
        lost = 0
        for number in range(1, frames + 1):
            stamp = rig.now_ns()
            rig.send(frame(stamp, *SIZE))
            lost += not answers.wait_for(stamp)
            if number == early_frames:
                early = rig.holdings()
            if number % _TOLD_EVERY == 0:
                tell(
                    f'{number} of {frames} frames, {number / (time.monotonic() - began_s):.0f} '
                    f'a second, {rig.holdings().rss_mb:.1f} MB'
                )
            if not rig.node.is_running:
                raise NotObservedError(f'the node died: {rig.node.last_words()}')
            if lost > MAX_LOST * frames:
                break
        late = rig.holdings()
    growth = late.rss_mb / early.rss_mb
    more = late.grown_beyond(early)
    grown = ', '.join(f'{count} {name} more' for name, count in more.items())
    return Outcome(
        'endurance',
        f'{frames} frames of {SIZE[0]}x{SIZE[1]}',
        expected,
        f'{early.rss_mb:.1f} MB, then {late.rss_mb:.1f} MB ({growth - 1:+.1%}); {lost} of '
        f'{number} frames not answered; {late.threads} threads, {late.processes} processes, '
        f'{late.descriptors} descriptors, {late.segments} segments ({grown or "none more"})',
        lost <= MAX_LOST * frames and growth <= MAX_GROWTH and not more,
        None,
        time.monotonic() - began_s,
    )
