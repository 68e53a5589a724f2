# SPDX-License-Identifier: Apache-2.0
"""Receive what the node publishes, time it, and write it to a bag unchanged. Loads rclpy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from metric_depth_ros.bags.writer import BagWriter
from metric_depth_ros.codecs.cdr_stamps import read_stamp_ns
from metric_depth_ros.errors import InputError
from metric_depth_ros.replay.published import (
    CAMERA_INFO_TOPIC,
    CONFIDENCE_TOPIC,
    DEPTH_TOPIC,
    POINTS_TOPIC,
)

STATUS_TOPIC = '/depth/status'
HEALTH_TOPIC = '/diagnostics'
_HEALTH_NAME = 'depth: '  # what a status of the node begins with
COUNTERS = ('frames_in', 'frames_out', 'replaced', 'stale', 'bad_input', 'failed')
_QUEUE = 10


@dataclass
class Answers:
    """When frames were played and answered; monotonic seconds by image stamp (ns).

    Parameters
    ----------
    played, depth, points
        Times of the images played, and of the depth images and clouds received.
    estimator_ms
        How long the estimator took, as the node reports it of each frame.
    methods
        What really answered.
    repeated
        Images played with the stamp of an earlier one, whose answers nobody can tell apart.
    """

    played: dict[int, float] = field(default_factory=dict)
    depth: dict[int, float] = field(default_factory=dict)
    points: dict[int, float] = field(default_factory=dict)
    estimator_ms: dict[int, float] = field(default_factory=dict)
    methods: set[str] = field(default_factory=set)
    repeated: int = 0

    @property
    def images(self) -> int:
        """Number of images played."""
        return len(self.played) + self.repeated

    def note_played(self, stamp_ns: int, now_s: float) -> None:
        """Remember when an image was published: of one stamp the first, answered first."""
        if stamp_ns in self.played:
            self.repeated += 1
        else:
            self.played[stamp_ns] = now_s

    def latencies_ms(self) -> list[float]:
        """Return the time from the publication of each image to the receipt of its depth."""
        return list(self.latency_ms_by_stamp().values())

    def latency_ms_by_stamp(self) -> dict[int, float]:
        """Return the same by the stamp of the image (ns)."""
        return {
            stamp: 1e3 * (received - self.played[stamp])
            for stamp, received in self.depth.items()
            if stamp in self.played
        }


class Recorder:
    """Subscriptions to the node's outputs; callbacks run in the executor of `node`.

    Parameters
    ----------
    node
        Node to subscribe with.
    bag
        Where messages go while `keep` says so.
    keep
        Tells whether the message with this stamp goes into the bag.
    with_points, with_confidence
        Whether to ask for the cloud and for the confidence too.

    Attributes
    ----------
    counters
        What the node has counted since it began, by its newest word.
    took_s
        How long the estimator took for the last frame that was answered.
    """

    def __init__(
        self,
        node: Node,
        bag: BagWriter,
        keep: Callable[[int], bool],
        with_points: bool,
        with_confidence: bool = False,
    ) -> None:
        self.answers = Answers()
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.took_s = 0.0
        self.failure: InputError | None = None
        self._bag = bag
        self._keep = keep
        self._changed = threading.Condition()
        self._matched: set[str] = set()
        self._topics: dict[str, type] = {
            DEPTH_TOPIC: Image,
            CAMERA_INFO_TOPIC: CameraInfo,
            STATUS_TOPIC: DiagnosticStatus,
            HEALTH_TOPIC: DiagnosticArray,
        }
        if with_points:
            self._topics[POINTS_TOPIC] = PointCloud2
        if with_confidence:
            self._topics[CONFIDENCE_TOPIC] = Image
        profile = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=_QUEUE,
            reliability=ReliabilityPolicy.RELIABLE,
        )
        for topic, kind in self._topics.items():
            node.create_subscription(
                kind,
                topic,
                self._callback(topic),
                profile,
                raw=True,
                event_callbacks=SubscriptionEventCallbacks(matched=self._match(topic)),
            )

    def unmatched(self) -> list[str]:
        """Return the topics that nobody publishes yet."""
        return [topic for topic in self._topics if topic not in self._matched]

    def note_played(self, stamp_ns: int) -> None:
        """Remember when the image with this stamp was published."""
        self.answers.note_played(stamp_ns, time.monotonic())

    def forget(self) -> None:
        """Drop all that was measured, but not the bag; for the end of the warm-up."""
        with self._changed:
            self.answers = Answers()

    def is_answered(self, stamp_ns: int) -> bool:
        """Tell whether all outputs of a frame have come."""
        answers = self.answers
        return (
            stamp_ns in answers.depth
            and stamp_ns in answers.estimator_ms
            and (POINTS_TOPIC not in self._topics or stamp_ns in answers.points)
        )

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a condition on the answers holds; it is asked whenever one has come."""
        with self._changed:
            return self._changed.wait_for(condition, timeout_s)

    def _callback(self, topic: str) -> Callable[[bytes], None]:
        store = {
            DEPTH_TOPIC: lambda stamp: self.answers.depth.setdefault(stamp, time.monotonic()),
            POINTS_TOPIC: lambda stamp: self.answers.points.setdefault(stamp, time.monotonic()),
        }.get(topic, lambda stamp: None)

        def receive(data: bytes) -> None:
            with self._changed:
                stamp_ns = read_stamp_ns(data)
                store(stamp_ns)
                self._changed.notify_all()
            self._write(topic, data, stamp_ns)

        def receive_status(data: bytes) -> None:
            values = _values(deserialize_message(data, DiagnosticStatus))
            stamp_ns, took_ms = int(values['stamp_ns']), float(values['estimator_ms'])
            with self._changed:
                self.answers.estimator_ms[stamp_ns] = took_ms
                self.answers.methods.add(values['method'])
                self.took_s = 1e-3 * took_ms
                self._count(values)
            self._write(topic, data, stamp_ns)

        def receive_health(data: bytes) -> None:
            with self._changed:
                for status in deserialize_message(data, DiagnosticArray).status:
                    if status.name.startswith(_HEALTH_NAME):  # others may share the domain
                        self._count(_values(status))

        special = {STATUS_TOPIC: receive_status, HEALTH_TOPIC: receive_health}
        return special.get(topic, receive)

    def _count(self, values: Mapping[str, str]) -> None:
        """Take in what the node says on two topics, of which either may be behind."""
        for name, count in self.counters.items():
            self.counters[name] = max(count, int(values.get(name, 0)))
        self._changed.notify_all()

    def _write(self, topic: str, data: bytes, stamp_ns: int) -> None:
        if self.failure is None and self._keep(stamp_ns):
            kind = self._topics[topic]
            package = kind.__module__.split('.')[0]
            try:
                self._bag.write_raw(topic, f'{package}/msg/{kind.__name__}', data, stamp_ns)
            except InputError as error:  # the disk is full: told when the replay is over
                self.failure = error

    def _match(self, topic: str) -> Callable[[object], None]:
        def note(event: object) -> None:
            with self._changed:
                if event.current_count:  # type: ignore[attr-defined]
                    self._matched.add(topic)
                else:
                    self._matched.discard(topic)
                self._changed.notify_all()

        return note


def _values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}
