# SPDX-License-Identifier: Apache-2.0
"""The worker thread: bundles in, published depth out, one frame at a time."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable

import numpy as np
from rclpy.publisher import Publisher

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator, recovers_camera
from metric_depth_ros.ros.assembly import Assembly, Bundle
from metric_depth_ros.ros.diagnostics import Counters, FrameReport, frame_status
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.framing import FrameBuilder, limited_depth
from metric_depth_ros.ros.messages import header_message
from metric_depth_ros.ros.outputs import Outputs
from metric_depth_ros.ros.parameters import DepthNodeSettings
from metric_depth_ros.ros.snapshot import Answered
from metric_depth_ros.types import DepthEstimate, Frame

_MS = 1e3


class FrameProcessor:
    """Answer one bundle.

    Parameters
    ----------
    builder, estimator, outputs
        The stages.
    status
        Publisher of ``~/status``.
    counters
        Where frames are counted.
    name
        Name of the node, for the status.
    """

    def __init__(
        self,
        builder: FrameBuilder,
        estimator: Estimator,
        outputs: Outputs,
        status: Publisher,
        counters: Counters,
        name: str,
    ) -> None:
        self._builder = builder
        self._estimator = estimator
        self._outputs = outputs
        self._status = status
        self._counters = counters
        self._name = name
        self._abandoned = False
        self.newest: Answered | None = None

    def use(self, estimator: Estimator) -> None:
        """Answer with another estimator from the next frame on."""
        self._estimator = estimator
        self._builder.camera_needed = not recovers_camera(estimator)

    def abandon(self) -> None:
        """Publish nothing any more: a frame that is still being computed comes too late."""
        self._abandoned = True

    def answer(self, bundle: Bundle, settings: DepthNodeSettings, replaced: int) -> None:
        """Estimate and publish the depth of a bundle; a bundle that cannot be used is dropped.

        Raises
        ------
        InputError
            The estimator refuses the frame.
        """
        began_s = time.monotonic()
        frame = self._builder.build(bundle, settings)
        if frame is None:
            self._counters.count('bad_input')
            return
        framed_s = time.monotonic()
        estimate = self._estimator.estimate(frame)
        if self._abandoned:
            return
        check_estimate(frame, estimate)
        estimated_s = time.monotonic()
        limited = limited_depth(
            estimate,
            settings.depth.max_range_m,
            settings.depth.min_confidence,
            settings.depth.edge_filter,
        )
        header = header_message(bundle.image.message.header)
        self._outputs.publish(header, frame, estimate, limited, settings.depth)
        published_s = time.monotonic()
        self.newest = Answered(bundle, frame, estimate.method, estimate.confidence, limited)
        report = FrameReport(
            stamp_ns=frame.stamp_ns,
            method=estimate.method,
            latency_ms=(published_s - bundle.image.arrived_s) * _MS,
            wait_ms=bundle.waited_s * _MS,
            decode_ms=(framed_s - began_s) * _MS,
            estimator_ms=(estimated_s - framed_s) * _MS,
            publish_ms=(published_s - estimated_s) * _MS,
            prompt_points=0 if frame.prompt is None else len(frame.prompt),
        )
        self._counters.answered(report)
        if self._status.get_subscription_count():
            self._status.publish(
                frame_status(self._name, frame.frame_id, report, self._counters, replaced)
            )


def check_estimate(frame: Frame, estimate: DepthEstimate) -> None:
    """Refuse depth that is not of the size of its image: whoever subscribes relies on it.

    Raises
    ------
    ValueError
        A defect of the estimator.
    """
    size = frame.image.shape[:2]
    for name, values in (('depth', estimate.depth), ('confidence', estimate.confidence)):
        if values is not None and (values.shape != size or values.dtype != np.float32):
            raise ValueError(
                f'{estimate.method} answered {name} of shape {values.shape} {values.dtype} for an '
                f'image of {size}'
            )


class Worker:
    """Thread that takes bundles until it is stopped.

    Parameters
    ----------
    assembly
        Where bundles come from; closing it ends the thread.
    processor
        What answers them.
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
        settings: Callable[[], DepthNodeSettings],
        counters: Counters,
        faults: FaultLog,
        topic: str,
    ) -> None:
        self._assembly = assembly
        self._processor = processor
        self._settings = settings
        self._counters = counters
        self._faults = faults
        self._topic = topic
        self._began_s: float | None = None
        self._has_answered = False
        self._abandoned = False
        # A daemon, so that a frame that takes seconds cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name='depth-worker', daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """End the thread; False if the frame at hand takes longer than the timeout."""
        self._assembly.close()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.abandon()
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """Leave the thread to the frame that it will not finish; nothing comes of it."""
        self._abandoned = True
        self._processor.abandon()

    def busy_s(self) -> float:
        """Return how long the frame at hand has taken; 0 between frames, and for the first."""
        began_s = self._began_s
        return 0.0 if began_s is None or not self._has_answered else time.monotonic() - began_s

    def _run(self) -> None:
        while not self._abandoned and (bundle := self._assembly.take()) is not None:
            settings = self._settings()
            waited_s = time.monotonic() - bundle.image.arrived_s
            if settings.max_frame_age_s and waited_s > settings.max_frame_age_s:
                self._counters.count('stale')
                continue
            self._answer(bundle, settings)

    def _answer(self, bundle: Bundle, settings: DepthNodeSettings) -> None:
        self._began_s = time.monotonic()
        try:
            self._processor.answer(bundle, settings, self._assembly.replaced)
            self._has_answered = True
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
            self._began_s = None
