# SPDX-License-Identifier: Apache-2.0
"""Frames of several threads as one batch."""

import threading

import numpy as np
import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.batching import BatchingEstimator
from metric_depth_ros.types import DepthEstimate, Frame


class Recorder(Estimator):
    """Answers with the stamp as depth; refuses negative stamps."""

    name = 'recorder'

    def __init__(self):
        self.batches = []
        self.together = threading.Lock()

    def estimate(self, frame):
        return self.estimate_batch([frame])[0]

    def estimate_batch(self, frames):
        assert self.together.acquire(blocking=False), 'called by two threads at once'
        try:
            self.batches.append([f.stamp_ns for f in frames])
            if any(f.stamp_ns < 0 for f in frames):
                raise InputError('bad', 'a frame that cannot be used.')
            return [DepthEstimate(np.full((2, 2), f.stamp_ns, np.float32)) for f in frames]
        finally:
            self.together.release()


def frame(stamp_ns):
    return Frame(stamp_ns, 'camera', np.zeros((2, 2, 3), np.uint8))


def answered_by_threads(estimator, stamps, rounds=1):
    """Return what every thread got, in the order of `stamps`."""
    answers, rounds_done = [None] * len(stamps), [0] * len(stamps)
    ready = threading.Barrier(len(stamps))

    def run(index):
        for _ in range(rounds):
            ready.wait(20.0)
            try:
                answers[index] = float(estimator.estimate(frame(stamps[index])).depth[0, 0])
            except InputError as error:
                answers[index] = error.fault
            rounds_done[index] += 1

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(stamps))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert rounds_done == [rounds] * len(stamps)
    return answers


def test_frames_that_arrive_together_are_one_batch():
    inner = Recorder()
    # From the second round on it is known how many cameras there are.
    answers = answered_by_threads(BatchingEstimator(inner, 20.0), [1, 2, 3], rounds=3)
    assert answers == [1.0, 2.0, 3.0]
    assert len(inner.batches[-1]) == 3


def test_every_frame_gets_its_own_answer():
    stamps = list(range(1, 7))
    assert answered_by_threads(BatchingEstimator(Recorder(), 0.05), stamps, 5) == stamps


def test_a_frame_that_cannot_be_used_costs_no_other():
    answers = answered_by_threads(BatchingEstimator(Recorder(), 20.0), [1, -2, 3], rounds=2)
    assert answers == [1.0, 'bad', 3.0]


def test_a_single_camera_waits_for_nobody():
    estimator = BatchingEstimator(Recorder(), window_s=1e6)
    for stamp in (1, 2, 3):
        assert estimator.estimate(frame(stamp)).depth[0, 0] == stamp


def test_it_goes_by_the_name_of_what_answers():
    estimator = BatchingEstimator(Recorder(), 0.1)
    assert estimator.name == 'recorder'
    assert not estimator.recovers_camera


@pytest.mark.parametrize('stamps', [[-1], [-1, -2]])
def test_errors_reach_the_thread_that_asked(stamps):
    answers = answered_by_threads(BatchingEstimator(Recorder(), 0.2), stamps, rounds=2)
    assert answers == ['bad'] * len(stamps)


class Torn(Recorder):
    """Answers one frame, but no batch."""

    def estimate_batch(self, frames):
        if len(frames) > 1:
            raise ValueError('of different sizes')
        return super().estimate_batch(frames)


def test_a_batch_that_fails_as_one_is_told_once(caplog):
    answers = answered_by_threads(BatchingEstimator(Torn(), 0.5), [1, 2], rounds=5)
    assert answers == [1.0, 2.0]
    assert caplog.text.count('failed and is answered one by one') == 1
    assert 'of different sizes' in caplog.text
