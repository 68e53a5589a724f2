# SPDX-License-Identifier: Apache-2.0
"""One bundle of messages to published depth, and to what is told of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rclpy.publisher import Publisher

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.ros.assembly import Bundle
from metric_depth_ros.ros.diagnostics import Counters, FrameReport, frame_status
from metric_depth_ros.ros.framing import FrameBuilder
from metric_depth_ros.ros.limits import LimitedDepth, limited_depth
from metric_depth_ros.ros.messages import header_message
from metric_depth_ros.ros.outputs import Outputs
from metric_depth_ros.ros.parameters import DepthNodeSettings
from metric_depth_ros.ros.snapshot import Answered
from metric_depth_ros.types import DepthEstimate, Frame

_MS = 1e3


@dataclass(frozen=True)
class _Estimated:
    """A frame that the estimator has answered, and how long it took."""

    frame: Frame
    estimate: DepthEstimate
    decode_ms: float
    estimator_ms: float


class FrameProcessor:
    """Answer one bundle.

    Parameters
    ----------
    builder, outputs
        What comes before and after the estimator.
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
        outputs: Outputs,
        status: Publisher,
        counters: Counters,
        name: str,
    ) -> None:
        self._builder = builder
        self._outputs = outputs
        self._status = status
        self._counters = counters
        self._name = name
        self._abandoned = False
        self._building = threading.Lock()
        self.newest: Answered | None = None

    def expect(self, estimator: Estimator) -> None:
        """Build frames as an estimator needs them."""
        self._builder.camera_needed = not estimator.recovers_camera

    @property
    def camera_needed(self) -> bool:
        """Whether a frame needs its CameraInfo."""
        return self._builder.camera_needed

    def abandon(self) -> None:
        """Publish nothing any more: a frame that is still being computed comes too late."""
        self._abandoned = True

    def answer(
        self,
        bundle: Bundle,
        estimator: Estimator,
        settings: DepthNodeSettings,
        replaced: int,
        may_publish: Callable[[], bool],
    ) -> bool:
        """Estimate and publish the depth of a bundle; a bundle that cannot be used is dropped.

        Parameters
        ----------
        bundle, estimator, settings
            What to answer, with what, and how.
        replaced
            Images that nobody has answered, for the status.
        may_publish
            Waits for the frames before this one; false where it comes too late.

        Returns
        -------
        bool
            Whether the estimator answered.

        Raises
        ------
        InputError
            The estimator refuses the frame.
        """
        estimated = self._estimated(bundle, estimator, settings)
        if estimated is None:
            return False
        if self._abandoned:
            return True
        estimate = estimated.estimate
        check_estimate(estimated.frame, estimate)
        limited = limited_depth(
            estimate,
            settings.depth.max_range_m,
            settings.depth.min_confidence,
            settings.depth.edge_filter,
        )
        if may_publish():
            report = self._publish(bundle, estimated, limited, settings)
            self._tell(estimated.frame.frame_id, report, replaced)
        return True

    def _estimated(
        self, bundle: Bundle, estimator: Estimator, settings: DepthNodeSettings
    ) -> _Estimated | None:
        """Return the answer of the estimator; None where it is not asked."""
        began_s = time.monotonic()
        with self._building:
            frame = self._builder.build(bundle, settings)
        if frame is None:
            self._counters.count('bad_input')
            return None
        if settings.lazy and not self._is_heard():
            self._counters.idled(_points_of(frame))
            return None
        framed_s = time.monotonic()
        estimate = estimator.estimate(frame)
        estimator_ms = (time.monotonic() - framed_s) * _MS
        return _Estimated(frame, estimate, (framed_s - began_s) * _MS, estimator_ms)

    def _publish(
        self,
        bundle: Bundle,
        estimated: _Estimated,
        limited: LimitedDepth,
        settings: DepthNodeSettings,
    ) -> FrameReport:
        """Publish the outputs; return what it all took."""
        frame, estimate = estimated.frame, estimated.estimate
        called_s = time.monotonic()
        header = header_message(bundle.image.message.header)
        self._outputs.publish(header, frame, estimate, limited, settings.depth)
        published_s = time.monotonic()
        self.newest = Answered(
            bundle, frame, estimate.method, estimate.confidence, limited, settings
        )
        return FrameReport(
            stamp_ns=frame.stamp_ns,
            method=estimate.method,
            latency_ms=(published_s - bundle.image.arrived_s) * _MS,
            wait_ms=bundle.waited_s * _MS,
            decode_ms=estimated.decode_ms,
            estimator_ms=estimated.estimator_ms,
            publish_ms=(published_s - called_s) * _MS,
            prompt_points=_points_of(frame),
        )

    def _tell(self, frame_id: str, report: FrameReport, replaced: int) -> None:
        self._counters.answered(report)
        if self._status.get_subscription_count():
            self._status.publish(
                frame_status(self._name, frame_id, report, self._counters, replaced)
            )

    def _is_heard(self) -> bool:
        return self._outputs.is_heard or bool(self._status.get_subscription_count())


def _points_of(frame: Frame) -> int:
    return 0 if frame.prompt is None else len(frame.prompt)


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
