# SPDX-License-Identifier: Apache-2.0
"""What an estimator can do, of those that ask another one too."""

import numpy as np
import pytest

pytest.importorskip('torch')

import torch

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.batching import BatchingEstimator
from metric_depth_ros.estimators.composed import ComposedEstimator
from metric_depth_ros.estimators.fallback import FallbackEstimator
from metric_depth_ros.estimators.learned.teacher import TeacherAdapter
from metric_depth_ros.estimators.nearest import NearestFill
from metric_depth_ros.torture.subject import FaultyEstimator
from metric_depth_ros.types import DepthEstimate, Frame

READY_SINCE_S = 7.0


class Able(Estimator):
    """Can do whatever a method states of itself."""

    name = 'able'
    needs_prompt = True
    recovers_camera = True
    frames_at_once = 3

    def __init__(self):
        self.warmed_up = []

    def estimate(self, frame):
        return DepthEstimate(np.ones(frame.image.shape[:2], np.float32))

    def warm_up(self, width, height):
        self.warmed_up.append((width, height))

    def ready_since_s(self):
        return READY_SINCE_S


WRAPPERS = {
    # frames at once: a batch has one frame of each camera; the alignment is of one thread
    'batching': (lambda inner: BatchingEstimator(inner, 0.1), 1),
    'composed': (ComposedEstimator, 1),
    'fallback': (lambda inner: FallbackEstimator(inner, inner, 5), 3),
    'faulty': (FaultyEstimator, 3),
}


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_what_asks_an_estimator_can_do_what_that_one_can(wrapper):
    make, frames_at_once = WRAPPERS[wrapper]
    wrapped = make(Able())
    assert isinstance(wrapped, Estimator)
    assert 'able' in wrapped.name
    assert wrapped.needs_prompt
    assert wrapped.recovers_camera
    assert wrapped.frames_at_once == frames_at_once


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_what_asks_an_estimator_warms_it_up(wrapper):
    inner = Able()
    WRAPPERS[wrapper][0](inner).warm_up(64, 48)
    assert set(inner.warmed_up) == {(64, 48)}


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_what_asks_an_estimator_is_ready_when_that_one_is(wrapper):
    wrapped = WRAPPERS[wrapper][0](Able())
    assert wrapped.ready_since_s() == READY_SINCE_S


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_what_asks_an_estimator_can_do_no_more_than_that_one(wrapper):
    wrapped = WRAPPERS[wrapper][0](NearestFill())
    assert wrapped.needs_prompt
    assert not wrapped.recovers_camera
    assert wrapped.frames_at_once == 1


def test_the_teacher_recovers_the_cameras_that_its_prior_recovers():
    device = torch.device('cpu')
    assert TeacherAdapter(Able(), device).recovers_camera
    assert not TeacherAdapter(NearestFill(), device).recovers_camera


def test_the_teacher_is_ready_when_its_prior_is():
    assert TeacherAdapter(Able(), torch.device('cpu')).ready_since_s() == READY_SINCE_S


def test_an_estimator_that_says_nothing_of_itself_can_do_the_least():
    class Least(Estimator):
        name = 'least'

        def estimate(self, frame):
            return DepthEstimate(np.full(frame.image.shape[:2], frame.stamp_ns, np.float32))

    least = Least()
    frames = [Frame(stamp, '', np.zeros((2, 3, 3), np.uint8)) for stamp in (1, 2)]
    assert (least.needs_prompt, least.recovers_camera, least.frames_at_once) == (False, False, 1)
    assert [e.depth[0, 0] for e in least.estimate_batch(frames)] == [1.0, 2.0]
    assert least.estimate_at(frames[1], [(0, 0)]).depth[0, 0] == 2.0
    assert least.unmasked() is least
    assert least.ready_since_s() == 0.0
    least.warm_up(64, 48)
