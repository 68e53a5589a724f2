# SPDX-License-Identifier: Apache-2.0
"""A prompted estimator while the prompt speaks, a monocular one while it is silent.

One of the two answers the whole image, so that no image has two scales.
"""

from __future__ import annotations

from dataclasses import replace

from metric_depth_ros.estimators.base import Estimator, recovers_camera, warm_up
from metric_depth_ros.types import DepthEstimate, Frame

FALLBACK_SUFFIX = ' (fallback)'


class FallbackEstimator:
    """Two estimators and the number of prompt points that decides between them.

    Parameters
    ----------
    prompted
        Answers frames whose prompt has at least `min_points` points.
    monocular
        Answers the others, without their prompt; its `method` then ends with ``' (fallback)'``.
    min_points
        Fewest points that `prompted` is trusted with.
    """

    def __init__(self, prompted: Estimator, monocular: Estimator, min_points: int) -> None:
        self._prompted = prompted
        self._monocular = monocular
        self.min_points = min_points

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
        """Estimate with the one that the frame's prompt calls for."""
        if frame.prompt is not None and len(frame.prompt) >= self.min_points:
            return self._prompted.estimate(frame)
        estimate = self._monocular.estimate(replace(frame, prompt=None))
        return replace(estimate, method=estimate.method + FALLBACK_SUFFIX)
