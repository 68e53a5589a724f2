# SPDX-License-Identifier: Apache-2.0
"""Publish the messages of a bag as they lie in it, in real time, with /clock. Loads rclpy."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from metric_depth_ros.bags.reader import BagReader, RawMessage
from metric_depth_ros.codecs.cdr_stamps import read_stamp_ns, with_shifted_stamp
from metric_depth_ros.codecs.stamps import NS_PER_S, sec_nanosec
from metric_depth_ros.errors import InputError
from metric_depth_ros.replay.streams import Streams

_QUEUE = 5
_DEFAULT_PERIOD_NS = NS_PER_S // 10  # of a bag with a single image


@dataclass(frozen=True)
class Timing:
    """When the images of a bag were recorded: first and last log time, time between two."""

    first_ns: int
    last_ns: int
    period_ns: int

    @property
    def loop_ns(self) -> int:
        """Time from the start of one loop to the start of the next."""
        return self.last_ns - self.first_ns + self.period_ns

    def step_before(self, image: RawMessage, count: int) -> int:
        """Return how far apart `count` images before one are, in nanoseconds.

        The period of the images, or less where a simulation has just begun to count: ROS knows no
        negative time.

        Raises
        ------
        InputError
            There is no time before the image.
        """
        earliest_ns = min(read_stamp_ns(image.data), image.log_ns)
        step_ns = min(self.period_ns, earliest_ns // (count + 1))
        if step_ns <= 0:
            raise InputError(
                'replay_stamps',
                f'the first image is of {earliest_ns} ns; nothing can be played before it, from '
                'which a replay would learn that the node listens: leave it out of the bag.',
            )
        return step_ns


def read_timing(bag: Path, image_topic: str) -> Timing:
    """Return the rhythm of a bag's images; the median period where it varies."""
    with BagReader(bag) as reader:
        times = [m.log_ns for m in reader.raw([image_topic])]
    periods = sorted(b - a for a, b in itertools.pairwise(times) if b > a)
    period = periods[len(periods) // 2] if periods else _DEFAULT_PERIOD_NS
    return Timing(times[0], times[-1], period)


def first_frame(bag: Path, streams: Streams) -> list[RawMessage]:
    """Return the first message of every played topic, the image last."""
    found: dict[str, RawMessage] = {}
    with BagReader(bag) as reader:
        for message in reader.raw(list(streams.played)):
            found.setdefault(message.topic, message)
            if len(found) == len(streams.played):
                break
    return sorted(found.values(), key=lambda m: m.topic == streams.image)


class Player:
    """Publishers of a bag's topics and of /clock.

    Parameters
    ----------
    node
        Node to publish from.
    streams
        Topics to play.
    on_image
        Called with the stamp of each image just before it is published.
    """

    def __init__(self, node: Node, streams: Streams, on_image: Callable[[int], None]) -> None:
        self._image_topic = streams.image
        self._on_image = on_image
        profile = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=_QUEUE,
            reliability=ReliabilityPolicy.RELIABLE,
        )
        self._publishers: dict[str, Publisher] = {
            topic: node.create_publisher(_message_class(kind), topic, profile)
            for topic, kind in streams.played.items()
        }
        self._clock = node.create_publisher(Clock, '/clock', profile)

    def unmatched(self, optional: Iterable[str] = ()) -> list[str]:
        """Return the topics that nobody subscribes to yet."""
        required = {t: p for t, p in self._publishers.items() if t not in set(optional)}
        return [
            topic
            for topic, publisher in {**required, '/clock': self._clock}.items()
            if not publisher.get_subscription_count()
        ]

    def set_clock(self, now_ns: int) -> None:
        """Publish a time on /clock."""
        seconds, nanoseconds = sec_nanosec(now_ns)
        self._clock.publish(Clock(clock=Time(sec=seconds, nanosec=nanoseconds)))

    def publish(self, message: RawMessage, shift_ns: int) -> None:
        """Publish one message with its stamp, and /clock, moved by `shift_ns`."""
        data = with_shifted_stamp(message.data, shift_ns)
        if message.topic == self._image_topic:
            self.set_clock(message.log_ns + shift_ns)
            self._on_image(read_stamp_ns(data))
        self._publishers[message.topic].publish(data)

    def play(
        self, messages: Iterator[tuple[RawMessage, int]], rate: float
    ) -> Iterator[RawMessage]:
        """Publish (message, shift) pairs at the pace of their times; yield each when it is out.

        Parameters
        ----------
        messages
            In the order of their shifted log times.
        rate
            Speed: 2 plays twice as fast.
        """
        start_s = start_ns = None
        for message, shift_ns in messages:
            due_ns = message.log_ns + shift_ns
            if start_s is None or start_ns is None:
                start_s, start_ns = time.monotonic(), due_ns
            ahead_s = start_s + (due_ns - start_ns) / NS_PER_S / rate - time.monotonic()
            if ahead_s > 0.0:
                time.sleep(ahead_s)
            self.publish(message, shift_ns)
            yield message


def looped(
    bag: Path, streams: Streams, timing: Timing, loops: int
) -> Iterator[tuple[RawMessage, int]]:
    """Yield the played messages of a bag again and again, later by one length each time."""
    for i in range(loops):
        with BagReader(bag) as reader:
            for message in reader.raw(list(streams.played)):
                yield message, i * timing.loop_ns


def _message_class(message_type: str) -> type:
    package, _, name = message_type.split('/')
    kind: type = getattr(import_module(f'{package}.msg'), name)
    return kind
