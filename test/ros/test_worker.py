# SPDX-License-Identifier: Apache-2.0
"""The worker has as many frames at hand as the estimator can process, and keeps their order."""

import math
import queue
import threading
from types import SimpleNamespace

import pytest

from metric_depth_ros.ros import worker as worker_module
from metric_depth_ros.ros.assembly import Assembly
from metric_depth_ros.ros.diagnostics import Counters
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.parameters import DepthNodeSettings
from metric_depth_ros.ros.worker import Worker

_DEADLINE_S = 10.0


def _estimator(frames_at_once):
    return SimpleNamespace(frames_at_once=frames_at_once, ready_since_s=lambda: 0.0)


class _Processor:
    """Holds every frame until it is let go, then notes it in the order of publishing."""

    def __init__(self):
        self.changed = threading.Condition()
        self.begun, self.let_go, self.published = [], set(), []
        self.expected = []

    def answer(self, bundle, estimator, settings, replaced, may_publish):
        stamp = bundle.image.stamp_ns
        self.note(self.begun, stamp)
        self.wait_until(lambda: stamp in self.let_go)
        if may_publish():
            self.note(self.published, stamp)
        return True

    def expect(self, estimator):
        self.expected.append(estimator)

    def abandon(self):
        pass

    def note(self, places, stamp):
        with self.changed:
            places.append(stamp)
            self.changed.notify_all()

    def finish(self, *stamps):
        with self.changed:
            self.let_go.update(stamps)
            self.changed.notify_all()

    def wait_until(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, _DEADLINE_S)


@pytest.fixture
def camera():
    """Return an assembly without sensors, a processor, and a function that starts a worker."""
    assembly, processor, counters = Assembly((), (), 1.0, 0.0), _Processor(), Counters()
    workers = []

    def start(frames_at_once, max_frame_age_s=0.0):
        settings = DepthNodeSettings(max_frame_age_s=max_frame_age_s)
        faults = FaultLog(lambda text: None, 1.0)
        worker = Worker(
            assembly,
            processor,
            _estimator(frames_at_once),
            lambda: settings,
            counters,
            faults,
            'image',
        )
        workers.append(worker)
        return worker

    yield SimpleNamespace(assembly=assembly, processor=processor, counters=counters, start=start)
    for worker in workers:
        processor.finish(*range(10))
        assert worker.stop(_DEADLINE_S)


def _offer(camera, stamp):
    """Offer an image and wait until it is begun."""
    camera.assembly.offer_image(object(), stamp)
    camera.processor.wait_until(lambda: stamp in camera.processor.begun)


def test_two_frames_at_once_are_published_in_order(camera):
    camera.start(2)
    _offer(camera, 0)
    _offer(camera, 1)

    camera.processor.finish(1)
    camera.processor.finish(0)

    camera.processor.wait_until(lambda: camera.processor.published == [0, 1])


def test_an_estimator_that_bears_one_frame_gets_one_at_a_time(camera):
    worker = camera.start(1)
    _offer(camera, 0)
    camera.assembly.offer_image(object(), 1)
    camera.assembly.offer_image(object(), 2)

    assert worker.frames_at_hand == 1
    assert camera.assembly.replaced == 1
    camera.processor.finish(0, 2)
    camera.processor.wait_until(lambda: camera.processor.published == [0, 2])


def test_the_next_estimator_may_bear_fewer_frames(camera):
    worker = camera.start(2)
    _offer(camera, 0)
    _offer(camera, 1)

    worker.use(_estimator(1))
    camera.processor.finish(0, 1)
    camera.processor.wait_until(lambda: camera.processor.published == [0, 1])
    _offer(camera, 2)
    camera.assembly.offer_image(object(), 3)
    camera.assembly.offer_image(object(), 4)

    assert worker.frames_at_hand == 1
    assert camera.assembly.replaced == 1


def test_the_first_frame_of_an_estimator_may_take_any_time(camera):
    worker = camera.start(1)
    _offer(camera, 0)
    assert worker.busy_s() == 0.0
    camera.processor.finish(0)
    _offer(camera, 1)
    assert worker.busy_s() > 0.0

    worker.use(_estimator(1))
    camera.processor.finish(1)
    _offer(camera, 2)
    assert worker.busy_s() == 0.0


def test_the_time_in_which_an_estimator_compiles_is_left_out(camera, monkeypatch):
    clock = SimpleNamespace(now_s=100.0)
    monkeypatch.setattr(worker_module, 'time', SimpleNamespace(monotonic=lambda: clock.now_s))
    worker = camera.start(1)
    _offer(camera, 0)
    camera.processor.finish(0)
    _offer(camera, 1)

    clock.now_s = 500.0
    assert worker.busy_s() == 400.0
    worker.estimator.ready_since_s = lambda: math.inf  # compiles
    assert worker.busy_s() == 0.0
    worker.estimator.ready_since_s = lambda: 490.0  # has compiled, and hangs
    assert worker.busy_s() == 10.0
    worker.estimator.ready_since_s = lambda: 50.0  # compiled before this frame
    assert worker.busy_s() == 400.0


def test_the_age_that_an_image_came_with_counts_when_its_turn_comes(camera, monkeypatch):
    counted = queue.Queue()
    monkeypatch.setattr(camera.counters, 'count', counted.put)
    camera.start(1, max_frame_age_s=1.0)

    camera.assembly.offer_image(object(), 0, age_s=2.0)

    assert counted.get(timeout=_DEADLINE_S) == 'stale'
    assert camera.processor.begun == []


def test_an_estimator_that_was_replaced_is_timed_in_its_first_frame_too(camera):
    worker = camera.start(1)
    _offer(camera, 0)
    assert worker.overdue_s() == 0.0
    assert worker.at_hand_s() > 0.0

    worker.use(_estimator(1))
    assert worker.overdue_s() > 0.0
    assert worker.busy_s() == 0.0  # which is of the next one, and that has no frame

    camera.processor.finish(0)
    _offer(camera, 1)
    assert worker.overdue_s() == 0.0


def test_an_estimator_that_was_replaced_while_it_hung_stays_overdue(camera):
    worker = camera.start(1)
    _offer(camera, 0)
    camera.processor.finish(0)
    _offer(camera, 1)
    worker.use(_estimator(1))
    assert worker.overdue_s() > 0.0


def test_an_abandoned_worker_takes_no_image_from_the_next_one(camera):
    abandoned = camera.start(2)
    _offer(camera, 0)
    abandoned.abandon()
    camera.start(1)

    _offer(camera, 1)
    camera.processor.finish(0, 1)
    camera.processor.wait_until(lambda: camera.processor.published == [1])


def test_frames_are_built_as_the_estimator_needs_them_from_the_first_on(camera):
    worker = camera.start(1)
    assert camera.processor.expected == [worker.estimator]
