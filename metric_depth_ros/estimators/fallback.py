# SPDX-License-Identifier: Apache-2.0
"""A prompted estimator while the prompt speaks, a monocular one while it is silent.

One of the two answers the whole image, so that no image has two scales.
"""

from __future__ import annotations

import math
from dataclasses import replace

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator, recovers_camera, warm_up
from metric_depth_ros.types import DepthEstimate, Frame

POLICIES = ('auto', 'prompted', 'monocular')

# A prompt is lost at once, for without it there is no scale; it is won back slowly. The two
# methods differ by percents, so that a prompt that comes and goes, because its rate is below
# that of the camera or its points are about as many as asked for, would make every obstacle jump
# back and forth. Half as many points again are three standard deviations above a threshold of
# 40, and more above higher ones; three frames are a tenth of a second of a camera at 30 Hz.
RETURN_FRAMES = 3
RETURN_POINTS = 1.5

_MARK = ' (fallback: '


class FallbackEstimator:
    """Two estimators and the number of prompt points that decides between them.

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
        self._prompted = prompted
        self._monocular = monocular
        self._trust = PromptTrust(min_points)
        self.policy = policy

    @property
    def name(self) -> str:
        """Both specifications."""
        return f'{self._prompted.name}, without a prompt {self._monocular.name}'

    @property
    def recovers_camera(self) -> bool:
        """Whether a frame without a camera and without a prompt can be answered."""
        return recovers_camera(self._monocular)

    def warm_up(self, width: int, height: int) -> None:
        """Warm both up for images of a size."""
        warm_up(self._prompted, width, height)
        warm_up(self._monocular, width, height)

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Estimate with the one that the frame's prompt and the policy call for.

        A frame that `prompted` refuses for its missing camera goes to `monocular`, too.
        """
        reason = self._objection(frame)
        if not reason:
            try:
                return self._prompted.estimate(frame)
            except InputError as error:
                if error.fault != 'camera_missing' or self.policy != 'auto':
                    raise
            reason = 'no CameraInfo'
        estimate = self._monocular.estimate(replace(frame, prompt=None))
        return replace(estimate, method=f'{estimate.method}{_MARK}{reason})')

    def _objection(self, frame: Frame) -> str:
        """Return why the prompted estimator does not answer, empty if it does."""
        if self.policy == 'prompted':
            return ''
        points = 0 if frame.prompt is None else len(frame.prompt)
        doubt = self._trust.doubt(points)
        return 'as set' if self.policy == 'monocular' else doubt


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
