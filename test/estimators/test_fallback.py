# SPDX-License-Identifier: Apache-2.0
"""A monocular estimator while the prompt is silent."""

import numpy as np
import pytest

from metric_depth_ros.estimators.fallback import FallbackEstimator
from metric_depth_ros.estimators.nearest import NearestFill
from metric_depth_ros.types import DepthEstimate, Frame, SparsePrompt


class Monocular:
    """Stands for a network that needs no prompt."""

    name = 'mono'
    recovers_camera = True

    def estimate(self, frame):
        assert frame.prompt is None
        return DepthEstimate(np.full(frame.image.shape[:2], 7.0, np.float32), method='mono')


def frame(points):
    prompt = SparsePrompt(
        np.zeros((points, 2), np.float32),
        np.full(points, 3.0, np.float32),
        np.full(points, 0.1, np.float32),
        np.zeros(points, np.uint8),
    )
    return Frame(0, 'camera', np.zeros((4, 6, 3), np.uint8), None, prompt)


@pytest.fixture
def estimator():
    return FallbackEstimator(NearestFill(), Monocular(), min_points=5)


def test_enough_points_are_answered_by_the_prompted_one(estimator):
    estimate = estimator.estimate(frame(5))
    assert estimate.method == 'nearest'
    assert (estimate.depth == 3.0).all()


@pytest.mark.parametrize('points', [0, 4])
def test_too_few_points_are_answered_without_them_and_said_so(estimator, points):
    estimate = estimator.estimate(frame(points))
    assert estimate.method == 'mono (fallback)'
    assert (estimate.depth == 7.0).all()


def test_no_prompt_at_all_and_back(estimator):
    bare = Frame(0, 'camera', np.zeros((4, 6, 3), np.uint8))
    methods = [estimator.estimate(f).method for f in (frame(9), bare, frame(9))]
    assert methods == ['nearest', 'mono (fallback)', 'nearest']


def test_it_recovers_the_camera_if_the_monocular_one_does(estimator):
    assert estimator.recovers_camera
    assert not FallbackEstimator(NearestFill(), NearestFill(), 5).recovers_camera
