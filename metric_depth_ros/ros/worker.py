# SPDX-License-Identifier: Apache-2.0
"""The worker threads: bundles in, published depth out, in the order of the bundles.

There is one thread for every frame that the estimator can answer at the same time: mostly one.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.ros.assembly import Assembly, Bundle
from metric_depth_ros.ros.diagnostics import Counters
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.parameters import DepthNodeSettings
from metric_depth_ros.ros.processing import FrameProcessor
from metric_depth_ros.ros.sequencer import Sequencer


class Worker:
    """Threads that take bundles until they are stopped.

    Parameters
    ----------
    assembly
        Where bundles come from; closing it ends the threads.
    processor
        What answers them.
    estimator
        What it answers them with.
    settings
        Returns the settings in force, asked once a frame.
    counters, faults
        Where frames that fail are counted and reported.
    topic
        Name of the image topic, for reports.
    """

    def __init__(
        self,
        assembly: Assembly,
        processor: FrameProcessor,
        estimator: Estimator,
        settings: Callable[[], DepthNodeSettings],
        counters: Counters,
        faults: FaultLog,
        topic: str,
    ) -> None:
        self._assembly = assembly
        self._processor = processor
        self._estimator = estimator
        self._settings = settings
        self._counters = counters
        self._faults = faults
        self._topic = topic
        # When each frame at hand began, and what is to answer it.
        self._at_hand: dict[int, tuple[float, Estimator]] = {}
        self._answered_by: Estimator | None = None
        self._abandoned = False
        self._sequencer = Sequencer()
        self._taking = threading.Lock()
        self._counting = threading.Lock()
        self._wanted = 0
        self._threads: list[threading.Thread] = []
        processor.expect(estimator)
        self._keep_threads(estimator.frames_at_once)

    def use(self, estimator: Estimator) -> None:
        """Answer with another estimator from the next frame on."""
        self._keep_threads(1)  # in between, for the two may differ in how many they can use
        self._estimator = estimator
        self._processor.expect(estimator)
        self._keep_threads(estimator.frames_at_once)

    def stop(self, timeout_s: float) -> bool:
        """End the threads; False if a frame at hand takes longer than the timeout."""
        self._assembly.close()
        ends_s = time.monotonic() + timeout_s
        threads = tuple(self._threads)
        for thread in threads:
            thread.join(max(0.0, ends_s - time.monotonic()))
        ended = not any(thread.is_alive() for thread in threads)
        if not ended:
            self.abandon()
        return ended

    def abandon(self) -> None:
        """Give up threads that are stuck; whatever they still produce is discarded."""
        self._abandoned = True
        self._processor.abandon()
        self._sequencer.abandon()
        self._assembly.wake()

    @property
    def estimator(self) -> Estimator:
        """What answers from the next frame on."""
        return self._estimator

    def at_hand_s(self) -> float:
        """Return how long the oldest frame at hand has taken, 0 between frames."""
        return self._oldest_s(lambda estimator: True)

    def busy_s(self) -> float:
        """Return how long the estimator in use has been at a frame.

        0 between frames, and while its first frame is not answered, which may take any time.
        Nor is the time counted in which it compiles.
        """
        taken_s = self._oldest_s(
            lambda estimator: estimator is self._estimator is self._answered_by
        )
        return max(0.0, min(taken_s, time.monotonic() - self._estimator.ready_since_s()))

    def overdue_s(self) -> float:
        """Return how long an estimator that was replaced has been at a frame, its first one too.

        The frames of the one in use wait for that.
        """
        return self._oldest_s(lambda estimator: estimator is not self._estimator)

    @property
    def frames_at_hand(self) -> int:
        """Number of frames that are being answered."""
        return len(self._at_hand)

    def _oldest_s(self, counts: Callable[[Estimator], bool]) -> float:
        began_s = [began for began, by in tuple(self._at_hand.values()) if counts(by)]
        return time.monotonic() - min(began_s) if began_s else 0.0

    def _keep_threads(self, count: int) -> None:
        """Start threads, or let those beyond the count go after the frames that they have."""
        with self._counting:
            self._wanted = count
            while len(self._threads) < count:
                # A daemon, so that a frame that takes seconds cannot keep the process from ending.
                thread = threading.Thread(target=self._run, name='depth-worker', daemon=True)
                self._threads.append(thread)
                thread.start()

    def _is_one_too_many(self) -> bool:
        """Tell the calling thread whether to go, and forget it if so."""
        with self._counting:
            if len(self._threads) <= self._wanted:
                return False
            self._threads.remove(threading.current_thread())
            return True

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            bundle, estimator, turn = taken
            try:
                settings = self._settings()
                image = bundle.image
                age_s = image.age_s + time.monotonic() - image.arrived_s
                if settings.max_frame_age_s and age_s > settings.max_frame_age_s:
                    self._counters.count('stale')
                else:
                    self._answer(bundle, estimator, settings, turn)
            finally:
                self._sequencer.done(turn)

    def _take(self) -> tuple[Bundle, Estimator, int] | None:
        """Return a bundle, what is to answer it, and when to publish it; None to end a thread."""
        with self._taking:
            if self._abandoned or self._is_one_too_many():
                return None
            bundle = self._assembly.take(given_up=lambda: self._abandoned)
            if bundle is None:
                return None
            return bundle, self._estimator, self._sequencer.draw()

    def _answer(
        self, bundle: Bundle, estimator: Estimator, settings: DepthNodeSettings, turn: int
    ) -> None:
        self._at_hand[turn] = time.monotonic(), estimator
        try:
            if self._processor.answer(
                bundle,
                estimator,
                settings,
                self._assembly.replaced,
                lambda: self._sequencer.wait_for(turn),
            ):
                self._answered_by = estimator
        except InputError as error:
            self._counters.count('bad_input')
            self._faults.report(self._topic, error.fault, str(error))
        except BaseException:
            # A defect, not of the input: it costs this frame, never the node. A library that
            # calls sys.exit would end this thread and leave a node that answers nothing.
            self._counters.count('failed')
            self._faults.report(
                self._topic, 'internal', f'a frame failed: {traceback.format_exc()}'
            )
        finally:
            del self._at_hand[turn]
