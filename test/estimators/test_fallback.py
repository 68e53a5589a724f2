# SPDX-License-Identifier: Apache-2.0
"""A monocular estimator while the prompt is silent."""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.fallback import (
    RETURN_FRAMES,
    FallbackEstimator,
    PromptTrust,
    is_by_fallback,
)
from metric_depth_ros.estimators.nearest import NearestFill
from metric_depth_ros.types import DepthEstimate, Frame, SparsePrompt


class Monocular(Estimator):
    """Stands for a network that needs no prompt."""

    name = 'mono'
    recovers_camera = True

    def estimate(self, frame):
        assert frame.prompt is None
        return DepthEstimate(np.full(frame.image.shape[:2], 7.0, np.float32), method='mono')


class Refusing(NearestFill):
    """A prompted method that refuses frames for one reason."""

    def __init__(self, fault):
        self._fault = fault

    def estimate(self, frame):
        raise InputError(self._fault, 'refused')


class Batched(NearestFill):
    """A prompted method that writes down which frames it was given at once."""

    def __init__(self, fault=''):
        self.batches = []
        self._fault = fault

    def estimate_batch(self, frames):
        self.batches.append([f.frame_id for f in frames])
        if self._fault:
            raise InputError(self._fault, 'refused')
        return [self.estimate(f) for f in frames]


def frame(points, camera='camera'):
    prompt = SparsePrompt(
        np.zeros((points, 2), np.float32),
        np.full(points, 3.0, np.float32),
        np.full(points, 0.1, np.float32),
        np.zeros(points, np.uint8),
    )
    return Frame(0, camera, np.zeros((4, 6, 3), np.uint8), None, prompt)


@pytest.fixture
def estimator():
    return FallbackEstimator(NearestFill(), Monocular(), min_points=5)


def methods(estimator, *points):
    return [estimator.estimate(frame(count)).method for count in points]


def test_enough_points_are_answered_by_the_prompted_one_from_the_first_frame(estimator):
    estimate = estimator.estimate(frame(5))
    assert estimate.method == 'nearest'
    assert (estimate.depth == 3.0).all()
    assert not is_by_fallback(estimate.method)


@pytest.mark.parametrize(('points', 'reason'), [(0, 'no prompt'), (4, '4 of 5 points')])
def test_too_few_points_are_answered_without_them_and_said_so(estimator, points, reason):
    estimate = estimator.estimate(frame(points))
    assert estimate.method == f'mono (fallback: {reason})'
    assert is_by_fallback(estimate.method)
    assert (estimate.depth == 7.0).all()


def test_a_silent_prompt_is_left_at_once_and_taken_back_when_it_has_stayed(estimator):
    bare = Frame(0, 'camera', np.zeros((4, 6, 3), np.uint8))
    told = [estimator.estimate(f).method for f in (frame(9), bare, *map(frame, [9] * 4))]
    back = 'mono (fallback: the prompt is coming back)'
    assert told == ['nearest', 'mono (fallback: no prompt)', back, back, 'nearest', 'nearest']


def test_a_prompt_on_every_third_frame_does_not_change_the_method_every_frame(estimator):
    told = methods(estimator, *[0, 0, 9] * 10)
    assert all(is_by_fallback(method) for method in told)


def test_a_number_of_points_about_the_threshold_does_not_change_the_method_every_frame():
    trust, rng = PromptTrust(100), np.random.default_rng(3)
    trusted = [not trust.doubt(int(points)) for points in rng.poisson(100, 500)]
    assert np.count_nonzero(np.diff(trusted)) <= 1


def test_many_points_win_the_prompt_back():
    trust = PromptTrust(100)
    trust.doubt(0)
    assert [bool(trust.doubt(150)) for _ in range(RETURN_FRAMES)] == [True, True, False]
    assert not trust.doubt(100)


class FirstFrames(Monocular):
    """Writes down when what asks it is said to be ready, frame by frame."""

    def __init__(self):
        self.asked_by = None
        self.ready_since_s_in_frames = []

    def estimate(self, frame):
        self.ready_since_s_in_frames.append(self.asked_by.ready_since_s())
        return super().estimate(frame)


def test_the_first_frame_of_the_monocular_one_may_take_any_time_whatever_came_before():
    mono = FirstFrames()
    mono.asked_by = estimator = FallbackEstimator(NearestFill(), mono, 5)
    methods(estimator, 9, 9)
    ready_s = estimator.ready_since_s()
    assert 0.0 < ready_s < math.inf
    methods(estimator, 0, 0)
    first_s, second_s = mono.ready_since_s_in_frames
    assert first_s == math.inf
    assert ready_s <= second_s < math.inf


def test_the_first_batch_of_the_monocular_one_may_take_any_time_as_well():
    mono = FirstFrames()
    mono.asked_by = estimator = FallbackEstimator(NearestFill(), mono, 5)
    for _ in range(2):
        estimator.estimate_batch([frame(9, 'left'), frame(0, 'right')])
    first_s, second_s = mono.ready_since_s_in_frames
    assert first_s == math.inf
    assert second_s < math.inf


def test_a_frame_without_a_camera_that_the_prompted_one_cannot_answer_is_answered():
    estimator = FallbackEstimator(Refusing('camera_missing'), Monocular(), 5)
    assert methods(estimator, 9) == ['mono (fallback: no CameraInfo)']


def test_other_refusals_of_the_prompted_one_are_not_hidden():
    estimator = FallbackEstimator(Refusing('out_of_memory'), Monocular(), 5)
    with pytest.raises(InputError, match='refused'):
        estimator.estimate(frame(9))


def test_a_policy_other_than_auto_takes_one_of_the_two_always(estimator):
    estimator.policy = 'monocular'
    assert methods(estimator, 9) == ['mono (fallback: as set)']
    estimator.policy = 'prompted'
    assert methods(estimator, 2) == ['nearest']
    estimator.policy = 'auto'
    assert methods(estimator, 9) == ['nearest']


def test_it_recovers_the_camera_if_the_monocular_one_does(estimator):
    assert estimator.recovers_camera
    assert not FallbackEstimator(NearestFill(), NearestFill(), 5).recovers_camera


def test_a_camera_whose_prompt_fails_does_not_take_that_of_another(estimator):
    told = [estimator.estimate(frame(*f)).method for f in ((9, 'left'), (0, 'right')) * 4]
    assert told[::2] == ['nearest'] * 4
    assert all(is_by_fallback(method) for method in told[1::2])


def test_frames_of_other_cameras_do_not_win_a_prompt_back(estimator):
    estimator.estimate(frame(0, 'left'))
    for _ in range(RETURN_FRAMES):
        estimator.estimate(frame(9, 'right'))
    assert is_by_fallback(estimator.estimate(frame(9, 'left')).method)


def test_frames_of_several_cameras_are_two_batches_at_most():
    prompted = Batched()
    estimator = FallbackEstimator(prompted, Monocular(), 5)
    frames = [frame(9, 'front'), frame(0, 'left'), frame(9, 'rear')]
    told = [estimate.method for estimate in estimator.estimate_batch(frames)]
    assert told == ['nearest', 'mono (fallback: no prompt)', 'nearest']
    assert prompted.batches == [['front', 'rear']]


def test_a_batch_that_the_prompted_one_cannot_answer_without_a_camera_is_answered():
    estimator = FallbackEstimator(Batched('camera_missing'), Monocular(), 5)
    told = [e.method for e in estimator.estimate_batch([frame(9, 'a'), frame(0, 'b')])]
    assert told == ['nearest', 'mono (fallback: no prompt)']


def test_a_frame_of_a_batch_that_failed_is_counted_once_when_it_is_asked_about_alone():
    estimator = FallbackEstimator(Batched('out_of_memory'), Monocular(), 5)
    estimator.estimate(frame(0))
    back = frame(9)
    for _ in range(RETURN_FRAMES):
        assert is_by_fallback(estimator.estimate(back).method)


def test_names_of_cameras_that_are_made_up_are_forgotten(estimator):
    estimator.estimate(frame(0, 'known'))
    for number in range(1000):
        estimator.estimate(frame(9, f'made up {number}'))
    assert len(estimator._cameras) <= 64


class TwoAtOnce(NearestFill):
    """A prompted method that takes two threads."""

    frames_at_once = 2


class Alone(Monocular):
    """Bears one thread, and takes so long that two would meet."""

    def __init__(self):
        self.busy = threading.Lock()

    def estimate(self, frame):
        assert self.busy.acquire(blocking=False), 'called by two threads at once'
        time.sleep(0.05)
        self.busy.release()
        return super().estimate(frame)


def test_it_bears_as_many_frames_as_the_prompted_one():
    assert FallbackEstimator(TwoAtOnce(), Monocular(), 5).frames_at_once == 2


def test_a_monocular_one_that_bears_one_frame_is_called_by_one_thread_at_a_time():
    estimator = FallbackEstimator(TwoAtOnce(), Alone(), 5)
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(lambda _: estimator.estimate(frame(0)).method, range(4)))
    assert told == ['mono (fallback: no prompt)'] * 4
