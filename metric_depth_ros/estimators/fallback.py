# SPDX-License-Identifier: Apache-2.0
"""A prompted estimator while the prompt speaks, a monocular one while it is silent.

One of the two answers the whole image, so that no image has two scales.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.preparation import Preparation
from metric_depth_ros.types import DepthEstimate, Frame

# A prompt is lost at once, for without it there is no scale; it is won back slowly. The two
# methods differ by percents, so that a prompt that comes and goes, because its rate is below
# that of the camera or its points are about as many as asked for, would make every obstacle jump
# back and forth. Half as many points again are three standard deviations above a threshold of
# 40, and more above higher ones; three frames are a tenth of a second of a camera at 30 Hz.
RETURN_FRAMES = 3
RETURN_POINTS = 1.5

_MAX_CAMERAS = 64  # more than a robot has
_MARK = ' (fallback: '


class FallbackEstimator(Estimator):
    """Two estimators and the number of prompt points that decides between them.

    Each camera is judged by its own frames; cameras are told apart by `Frame.frame_id`.

    Parameters
    ----------
    prompted
        Answers frames whose prompt can be relied on.
    monocular
        Answers the others, without their prompt; its `method` then ends with the reason, as in
        ``'student_pointmap (fallback: no prompt)'``.
    min_points
        Fewest points that `prompted` is trusted with.
    policy
        ``'auto'`` decides by the prompt, the others always take the estimator of that name. May
        be changed between frames.
    """

    def __init__(
        self, prompted: Estimator, monocular: Estimator, min_points: int, policy: str = 'auto'
    ) -> None:
        self.name = f'{prompted.name}, without a prompt {monocular.name}'
        # Of a frame without a prompt, and of one without a camera, the monocular one answers.
        self.needs_prompt = monocular.needs_prompt
        self.recovers_camera = monocular.recovers_camera
        # Where the monocular one takes fewer, its threads wait.
        self.frames_at_once = prompted.frames_at_once
        self._prompted = prompted
        self._monocular = monocular
        self._min_points = min_points
        self._cameras: dict[str, _JudgedCamera] = {}
        self._judging = threading.Lock()
        self._room_of_monocular = threading.Semaphore(monocular.frames_at_once)
        self._have_answered: set[Estimator] = set()
        self._first_frames = Preparation()
        self.policy = policy

    def warm_up(self, width: int, height: int) -> None:
        """Warm both up for images of a size."""
        self._prompted.warm_up(width, height)
        self._monocular.warm_up(width, height)

    def ready_since_s(self) -> float:
        """Return since when both are ready; the first frame of each is for its preparation."""
        inner_s = max(self._prompted.ready_since_s(), self._monocular.ready_since_s())
        return max(inner_s, self._first_frames.ended_s())

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Estimate with the one that the frame's prompt and the policy call for.

        A frame that `prompted` refuses for its missing camera goes to `monocular`, too.
        """
        return self._estimate(frame, self._objection(frame))

    def estimate_batch(self, frames: Sequence[Frame]) -> list[DepthEstimate]:
        """Estimate frames, e.g. of several cameras, as at most two batches."""
        objections = [self._objection(frame) for frame in frames]
        pairs = list(zip(frames, objections, strict=True))
        try:
            prompted = self._batch(self._prompted, [f for f, reason in pairs if not reason])
        except InputError as error:
            if not self._answers_without_camera(error):
                raise
            return [self._estimate(frame, reason) for frame, reason in pairs]
        bare = [replace(frame, prompt=None) for frame, reason in pairs if reason]
        with self._room_of_monocular:
            monocular = self._batch(self._monocular, bare)
        return [
            _marked(next(monocular), reason) if reason else next(prompted) for reason in objections
        ]

    def _batch(self, estimator: Estimator, frames: list[Frame]) -> Iterator[DepthEstimate]:
        if not frames:
            return iter(())
        with self._asking(estimator):
            return iter(estimator.estimate_batch(frames))

    @contextmanager
    def _asking(self, estimator: Estimator) -> Iterator[None]:
        """Ask one of the two in a block, which is preparation until it has answered once."""
        if estimator in self._have_answered:
            yield
            return
        with self._first_frames.under_way():
            yield
        self._have_answered.add(estimator)

    def _estimate(self, frame: Frame, reason: str) -> DepthEstimate:
        if not reason:
            try:
                with self._asking(self._prompted):
                    return self._prompted.estimate(frame)
            except InputError as error:
                if not self._answers_without_camera(error):
                    raise
            reason = 'no CameraInfo'
        with self._room_of_monocular, self._asking(self._monocular):
            estimate = self._monocular.estimate(replace(frame, prompt=None))
        return _marked(estimate, reason)

    def _answers_without_camera(self, error: InputError) -> bool:
        return error.fault == 'camera_missing' and self.policy == 'auto'

    def _objection(self, frame: Frame) -> str:
        """Return why the prompted estimator does not answer, empty if it does."""
        if self.policy == 'prompted':
            return ''
        with self._judging:
            doubt = self._camera(frame.frame_id).doubt(frame)
        return 'as set' if self.policy == 'monocular' else doubt

    def _camera(self, name: str) -> _JudgedCamera:
        # The camera that was seen last is the last one; names that are made up push each other
        # out.
        camera = self._cameras.pop(name, None) or _JudgedCamera(self._min_points)
        self._cameras[name] = camera
        if len(self._cameras) > _MAX_CAMERAS:
            del self._cameras[next(iter(self._cameras))]
        return camera


def _marked(estimate: DepthEstimate, reason: str) -> DepthEstimate:
    return replace(estimate, method=f'{estimate.method}{_MARK}{reason})')


class _JudgedCamera:
    """What the frames of one camera have said; a frame that is asked about again counts once."""

    def __init__(self, min_points: int) -> None:
        self._trust = PromptTrust(min_points)
        self._newest: weakref.ref[Frame] | None = None
        self._doubt = ''

    def doubt(self, frame: Frame) -> str:
        if self._newest is None or self._newest() is not frame:
            points = 0 if frame.prompt is None else len(frame.prompt)
            self._doubt = self._trust.doubt(points)
            self._newest = weakref.ref(frame)
        return self._doubt


class PromptTrust:
    """Whether the prompts of a sequence of frames are to be relied on.

    Parameters
    ----------
    min_points
        Fewest points of a prompt.
    """

    def __init__(self, min_points: int) -> None:
        self._min_points = min_points
        self._points_to_return = math.ceil(RETURN_POINTS * min_points)
        self._good_frames = RETURN_FRAMES  # the first frame is taken at its word

    def doubt(self, points: int) -> str:
        """Take the next frame's number of points; return what speaks against relying on them."""
        if points < self._min_points:
            self._good_frames = 0
            return f'{points} of {self._min_points} points' if points else 'no prompt'
        if self._good_frames >= RETURN_FRAMES:
            return ''
        self._good_frames = self._good_frames + 1 if points >= self._points_to_return else 0
        return '' if self._good_frames >= RETURN_FRAMES else 'the prompt is coming back'


def is_by_fallback(method: str) -> bool:
    """Whether the monocular one of two estimators answered, by the method that it told."""
    return _MARK in method
