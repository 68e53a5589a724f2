# SPDX-License-Identifier: Apache-2.0
"""The frames of a replay with what the node answered and how long that took. Loads no rclpy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.evaluation.error_report import ErrorReport
from metric_depth_ros.replay.published import CONFIDENCE_TOPIC, DEPTH_TOPIC
from metric_depth_ros.replay.scoring import ReplayedFrame, replayed_frames
from metric_depth_ros.types import DepthEstimate

if TYPE_CHECKING:
    from metric_depth_ros.evaluation.rerun_log import RerunLog
    from metric_depth_ros.replay.session import ReplayRun

_NAN = float('nan')


def answered_frames(bag: Path, run: ReplayRun) -> Iterator[tuple[ReplayedFrame, float]]:
    """Yield each answered frame of the first loop with its latency in milliseconds.

    Parameters
    ----------
    bag
        What was played.
    run
        What happened.
    """
    latency_ms = run.answers.latency_ms_by_stamp()
    for replayed in replayed_frames(
        bag,
        run.streams,
        run.recording,
        DEPTH_TOPIC,
        run.settings,
        confidence_topic=CONFIDENCE_TOPIC,
    ):
        yield replayed, latency_ms.get(replayed.frame.stamp_ns, _NAN)


def estimate_of(replayed: ReplayedFrame) -> DepthEstimate:
    """Return what the node published as an estimate."""
    return DepthEstimate(replayed.depth, replayed.confidence, replayed.frame.camera, 'published')


def add_to_report(report: ErrorReport, replayed: ReplayedFrame, latency_ms: float) -> None:
    """Take an answered frame into a report."""
    name = f'{replayed.frame.stamp_ns / NS_PER_S:.3f} s'
    report.add(name, replayed.frame, estimate_of(replayed), replayed.ground_truth, latency_ms)


def log_frame(log: RerunLog, replayed: ReplayedFrame, latency_ms: float) -> None:
    """Log an answered frame with its latency, and its error where that is known."""
    log.frame(
        replayed.frame,
        estimate_of(replayed),
        ground_truth=replayed.ground_truth,
        latency_ms=latency_ms,
    )
