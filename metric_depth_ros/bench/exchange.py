# SPDX-License-Identifier: Apache-2.0
"""Sends the frames of a rig to nodes by turns and times their answers.

Whoever sends is a process of its own, as a driver is. All nodes run all the while, so that what
else the machine does burdens them alike. Beside the time that passes until the last answer, the
processor time that sender and node spend in it is told: what others compute meanwhile does not
count, so that it says how much work there is even where the cores are shared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from metric_depth_ros.bench.rig_messages import messages_of
from metric_depth_ros.bench.rigs import Rig
from metric_depth_ros.codecs.cdr_stamps import read_stamp_ns, write_stamp
from metric_depth_ros.errors import InputError

_DISCOVERY_S = 120.0
_ANSWER_S = 10.0  # for machines that are busy with something else
_WARM_UP = 5
_SCHEDULED_TIME = 2  # CPUCLOCK_SCHED of Linux
# Whoever answers without a look at the question answers with this.
_NO_STAMP_NS = 0
_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class Turn:
    """What one frame took, from its first message to its last answer, in milliseconds.

    Parameters
    ----------
    wall_ms
        Time that passed; None where an answer did not come, for inputs are best effort.
    cpu_ms
        Processor time of sender and node.
    """

    wall_ms: float | None
    cpu_ms: float


class Exchange:
    """Publishers and subscriptions of a rig, once for each node.

    Parameters
    ----------
    rig
        What is sent.
    pids
        Of the processes of the nodes, by namespace.
    node
        Who sends and listens; somebody spins it.
    """

    def __init__(self, rig: Rig, pids: Mapping[str, int], node: Node) -> None:
        self._rig = rig
        self._pids = dict(pids)
        messages = messages_of(rig)
        self._data = [bytearray(message.serialized()) for message in messages]
        self.bytes_sent = sum(map(len, self._data))
        self._answered: dict[tuple[str, str], float] = {}
        self._expected_ns = _NO_STAMP_NS
        self._changed = threading.Condition()
        self._publishers: dict[str, list[Publisher]] = {}
        for namespace in pids:
            self._publishers[namespace] = [
                node.create_publisher(m.kind, f'/{namespace}/{m.topic}', _QOS) for m in messages
            ]
            for camera in rig.cameras:
                topic = f'/{namespace}/{camera.prefix}depth/image'
                receive = self._receiver(namespace, camera.name)
                node.create_subscription(Image, topic, receive, _QOS, raw=True)

    def connect(self) -> None:
        """Send frames until both nodes answer all cameras; a few more warm them up.

        Raises
        ------
        InputError
            A node does not answer.
        """
        deadline_s = time.monotonic() + _DISCOVERY_S
        for namespace in self._publishers:
            while self.turn(namespace).wall_ms is None:
                if time.monotonic() > deadline_s:
                    raise InputError(
                        'bench',
                        f'{self._rig.name}: /{namespace} does not answer within '
                        f'{_DISCOVERY_S:g} s.',
                    )
            for _ in range(_WARM_UP):
                self.turn(namespace)

    def by_turns(self, rounds: int) -> dict[str, list[Turn]]:
        """Return the turns of each node, one a round; each node gets the rate of the rig."""
        turns: dict[str, list[Turn]] = {name: [] for name in self._publishers}
        pause_s = 1.0 / self._rig.rate_hz / len(turns)
        for _ in range(rounds):
            for namespace, found in turns.items():
                ends_s = time.monotonic() + pause_s
                found.append(self.turn(namespace))
                time.sleep(max(0.0, ends_s - time.monotonic()))
        return turns

    def turn(self, namespace: str) -> Turn:
        """Send a frame to one node and wait for its answers."""
        stamp_ns = time.time_ns()
        for data in self._data:
            write_stamp(data, stamp_ns)
        messages = [bytes(data) for data in self._data]
        with self._changed:
            self._answered.clear()
            self._expected_ns = stamp_ns
        before_s, began_s = self._cpu_s(namespace), time.perf_counter()
        for publisher, message in zip(self._publishers[namespace], messages, strict=True):
            publisher.publish(message)
        expected = {(namespace, camera.name) for camera in self._rig.cameras}
        with self._changed:
            if not self._changed.wait_for(lambda: expected <= self._answered.keys(), _ANSWER_S):
                return Turn(None, 1e3 * (self._cpu_s(namespace) - before_s))
            wall_s = max(self._answered[key] for key in expected) - began_s
        return Turn(1e3 * wall_s, 1e3 * (self._cpu_s(namespace) - before_s))

    def _cpu_s(self, namespace: str) -> float:
        return time.process_time() + time.clock_gettime(_cpu_clock(self._pids[namespace]))

    def _receiver(self, namespace: str, camera: str) -> Callable[[bytes], None]:
        def receive(data: bytes) -> None:
            with self._changed:
                if read_stamp_ns(data) in (self._expected_ns, _NO_STAMP_NS):
                    self._answered[namespace, camera] = time.perf_counter()
                    self._changed.notify_all()

        return receive


def _cpu_clock(pid: int) -> int:
    """Return the clock of the processor time of a process, as clock_getcpuclockid(3) does."""
    return (~pid << 3) | _SCHEDULED_TIME
