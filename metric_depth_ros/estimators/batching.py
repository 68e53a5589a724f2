# SPDX-License-Identifier: Apache-2.0
"""One estimator for several cameras: frames that arrive together are answered as one batch.

Every camera has a thread of its own, which knows nothing of the others. Imports the siblings
`base` only.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.types import DepthEstimate, Frame

# A camera that has sent nothing for so long is not waited for.
_ABSENT_S = 1.0

_LOGGER = logging.getLogger(__name__)


@dataclass(eq=False)
class _Batch:
    frames: list[Frame] = field(default_factory=list)
    answers: list[DepthEstimate | Exception] | None = None


class BatchingEstimator(Estimator):
    """Gather the frames of several threads.

    Parameters
    ----------
    inner
        What answers; called by one thread at a time.
    window_s
        Longest time that a frame waits for those of other cameras. One whose cameras are all
        there, or the others of which are silent, does not wait.
    """

    def __init__(self, inner: Estimator, window_s: float) -> None:
        self.name = inner.name
        self.needs_prompt = inner.needs_prompt
        self.recovers_camera = inner.recovers_camera
        # Of each camera: a batch has one frame of every camera, and threads stand for cameras.
        self.frames_at_once = 1
        self._inner = inner
        self._window_s = window_s
        self._changed = threading.Condition()
        self._answering = threading.Lock()
        self._gathering: _Batch | None = None
        self._last_seen_s: dict[int, float] = {}
        self._told = False

    def warm_up(self, width: int, height: int) -> None:
        """Warm up what answers."""
        self._inner.warm_up(width, height)

    def ready_since_s(self) -> float:
        """Return since when what answers is ready."""
        return self._inner.ready_since_s()

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Estimate a frame together with those that other threads have at the same time.

        Raises
        ------
        Exception
            What the estimator raises for this frame alone; the other frames are answered.
        """
        with self._changed:
            self._last_seen_s[threading.get_ident()] = time.monotonic()
            batch, leads = self._join(frame)
            number = len(batch.frames) - 1
            if leads:
                self._wait_for_others(batch)
            else:
                while batch.answers is None:
                    self._changed.wait()
        if leads:
            self._answer(batch)
        assert batch.answers is not None
        answer = batch.answers[number]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _join(self, frame: Frame) -> tuple[_Batch, bool]:
        """Add a frame to the batch that is being gathered; the first one leads it."""
        leads = self._gathering is None
        if self._gathering is None:
            self._gathering = _Batch()
        self._gathering.frames.append(frame)
        self._changed.notify_all()
        return self._gathering, leads

    def _wait_for_others(self, batch: _Batch) -> None:
        began_s = time.monotonic()
        awake = sum(began_s - seen_s < _ABSENT_S for seen_s in self._last_seen_s.values())
        while len(batch.frames) < awake:
            remaining_s = began_s + self._window_s - time.monotonic()
            if remaining_s <= 0.0:
                return
            self._changed.wait(remaining_s)

    def _answer(self, batch: _Batch) -> None:
        """Answer a batch; frames go on joining it while the one before is being answered."""
        answers: list[DepthEstimate | Exception] = [RuntimeError('the batch was given up')]
        answers *= len(batch.frames)
        with self._answering:
            with self._changed:
                self._gathering = None
            try:
                answers = self._answers(batch.frames)
            finally:
                with self._changed:
                    batch.answers = answers
                    self._changed.notify_all()

    def _answers(self, frames: list[Frame]) -> list[DepthEstimate | Exception]:
        """Answer frames at once; where that fails, one by one, so that one spoils no other."""
        if len(frames) > 1:
            try:
                return list(self._inner.estimate_batch(frames))
            except Exception:  # told apart below
                self._tell_once(len(frames))
        answers: list[DepthEstimate | Exception] = []
        for frame in frames:
            try:
                answers.append(self._inner.estimate(frame))
            except Exception as error:
                answers.append(error)
        return answers

    def _tell_once(self, frames: int) -> None:
        if not self._told:
            self._told = True
            _LOGGER.warning(
                'a batch of %d frames failed and is answered one by one; said once',
                frames,
                exc_info=True,
            )
