# SPDX-License-Identifier: Apache-2.0
"""A live node with a good stream into it, and everything that is looked at from outside.

The node is a process of its own, in a domain of its own. Publishers, listener and services are
spun by one thread; another one sends a good frame ten times a second, whatever else happens.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image

from metric_depth_ros.codecs.stamps import stamp_ns
from metric_depth_ros.replay.node_process import NodeProcess
from metric_depth_ros.replay.service_calls import response_to
from metric_depth_ros.replay.spinning_node import (
    environment,
    local_environment,
    random_domain,
    spinning_node,
)
from metric_depth_ros.torture.good_stream import CALIBRATION, Messages, frame
from metric_depth_ros.torture.holdings import Holdings, holdings_of

_STATE = 'get_state'
# In this order: who answers the client that was made last has discovered the others.
_SERVICES = {'set_parameters': SetParameters, 'change_state': ChangeState, _STATE: GetState}
SUBJECT = 'metric_depth_ros.torture.subject'
PERIOD_S = 0.1
DISCOVERY_S = 30.0
_SEEN_S = 10.0
_KEPT = 200  # answers, for those who ask about one
_REMEMBERED = 600  # good frames, of a minute: longer than anybody waits for an answer


@dataclass(frozen=True)
class Bars:
    """How long things may take: the next good frame after a fault, and the end after a signal."""

    recovery_s: float = 1.0
    end_s: float = 2.0


STRICT = Bars()


class NotObservedError(Exception):
    """A fault did not have the effect that it must have, or had one that it must not."""


class Rig:
    """The node under test and what surrounds it; a context manager.

    Parameters
    ----------
    folder
        For its log and files.
    parameters
        Of the node, beside those of the rig.
    name
        Of the node.
    bars
        How long things may take; a test on a machine that is not idle gives more.
    """

    def __init__(
        self,
        folder: Path,
        parameters: Mapping[str, object] | None = None,
        name: str = 'depth',
        bars: Bars = STRICT,
    ) -> None:
        self.folder = folder
        self.bars = bars
        self.name = name
        self.parameters = {
            'estimator': 'faulty:nearest',
            'extrinsics.source': 'file',
            'extrinsics.path': folder / 'calibration.yaml',
            'log_throttle_s': 0.0,
            'diagnostics.period_s': 0.2,
            'estimator_timeout_s': 0.5,
            **(parameters or {}),
        }
        (folder / 'calibration.yaml').write_text(CALIBRATION, encoding='utf-8')
        self.domain = random_domain()
        self.environment = {'ROS_DOMAIN_ID': str(self.domain), **local_environment()}
        self._changed = threading.Condition()
        self._sent: dict[int, float] = {}
        self._answered: dict[int, tuple[float, Image]] = {}
        self._publishers: dict[str, Publisher] = {}
        self._streaming = threading.Event()
        self._ended = threading.Event()
        self._last_ns = 0
        self._health = ''
        self._count = 0

    def __enter__(self) -> Rig:
        """Start the node and the stream, and wait until it is answered."""
        with ExitStack() as started:  # what is started last ends first
            started.enter_context(environment(self.environment))
            self.ros = started.enter_context(spinning_node('torture', self.domain))
            self._clients = {
                service: self.ros.create_client(kind, f'/{self.name}/{service}')
                for service, kind in _SERVICES.items()
            }
            self.node = self.start_node()
            started.callback(lambda: self.node.stop())  # which a fault may have replaced
            self.ros.create_subscription(Image, 'depth/image', self._receive, 10)
            self.ros.create_subscription(DiagnosticArray, '/diagnostics', self._hear, 10)
            stream = threading.Thread(target=self._stream, name='torture-stream', daemon=True)
            stream.start()
            started.callback(self._end_stream, stream)
            self._streaming.set()
            self.until(self.recovered_within, 'an answer to the good stream', DISCOVERY_S)
            self._started = started.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the stream, then the node, then who listens to it."""
        self._started.close()

    def start_node(
        self, namespace: str = '', environment: Mapping[str, str] | None = None
    ) -> NodeProcess:
        """Start a node process like that of the rig, in a namespace of its own if given."""
        arguments = ['--ros-args', '-r', f'__node:={self.name}']
        if namespace:
            arguments += ['-r', f'__ns:=/{namespace}']
        for name, value in self.parameters.items():
            arguments += ['-p', f'{name}:={value}']
        log = Path(tempfile.mkstemp(dir=self.folder, suffix='.log')[1])
        return NodeProcess(arguments, log, {**self.environment, **(environment or {})}, SUBJECT)

    # What is sent.

    def now_ns(self) -> int:
        """Return a stamp that is later than any before."""
        with self._changed:
            self._last_ns = max(time.time_ns(), self._last_ns + 1)
            return self._last_ns

    def send(self, messages: Messages, topics: Sequence[str] = ()) -> None:
        """Publish messages by topic, in their order."""
        for topic in topics or messages:
            self.publisher(topic, type(messages[topic])).publish(messages[topic])

    def send_good(self) -> int:
        """Publish a good frame; return its stamp."""
        stamp = self.now_ns()
        with self._changed:
            self._sent[stamp] = time.monotonic()
            _forget(self._sent, _REMEMBERED)
        self.send(frame(stamp))
        return stamp

    def publisher(self, topic: str, kind: type) -> Publisher:
        """Return the publisher of a topic."""
        with self._changed:
            if topic not in self._publishers:
                self._publishers[topic] = self.ros.create_publisher(kind, topic, 5)
            return self._publishers[topic]

    def pause_stream(self) -> None:
        """Stop the good stream."""
        self._streaming.clear()

    def resume_stream(self) -> None:
        """Let the good stream go on."""
        self._streaming.set()

    # What is observed.

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = _SEEN_S) -> Any:
        """Wait for a condition and return its value.

        Raises
        ------
        NotObservedError
            It did not come true, or the node has died.
        """
        deadline_s = time.monotonic() + timeout_s
        while not (value := condition()):
            if time.monotonic() > deadline_s:
                raise NotObservedError(f'no {what} within {timeout_s:g} s')
            with self._changed:
                self._changed.wait(0.02)
        return value

    def sees_log(self, text: str, since: int, timeout_s: float = _SEEN_S) -> str:
        """Wait for a line of the node's log after position `since`; return it."""

        def line() -> str:
            lines = self.node.log[since:].splitlines()
            return next((one for one in lines if text in one), '')

        return str(self.until(line, f'{text!r} in the log', timeout_s))

    def log_position(self) -> int:
        """Return how much the node has printed."""
        return len(self.node.log)

    def answer_of(self, stamp: int) -> Image | None:
        """Return the depth image of a stamp, None if it has not come."""
        with self._changed:
            found = self._answered.get(stamp)
        return None if found is None else found[1]

    def answered_count(self) -> int:
        """Return how many depth images have come."""
        with self._changed:
            return self._count

    def health_says(self, words: str) -> str:
        """Return the newest message of /diagnostics if it holds these words."""
        with self._changed:
            return self._health if words in self._health else ''

    def recovered_within(self, since_s: float = 0.0) -> float | None:
        """Return the time from the first good frame sent since, to the first such answered."""
        with self._changed:
            after = [stamp for stamp, sent_s in self._sent.items() if sent_s >= since_s]
            answered = [self._answered[stamp][0] for stamp in after if stamp in self._answered]
            if not answered:
                return None
            return max(min(answered) - min(self._sent[stamp] for stamp in after), 1e-6)

    def wait_recovered(self, since_s: float, timeout_s: float = 20.0) -> float:
        """Wait until a good frame sent since is answered; return how long that took."""
        return float(
            self.until(lambda: self.recovered_within(since_s), 'answer to a good frame', timeout_s)
        )

    def holdings(self) -> Holdings:
        """Return what the node holds now."""
        return holdings_of(self.node.pid)

    # What the node is asked for.

    def call(self, service: str, request: Any, timeout_s: float = 20.0) -> Any:
        """Call a service of the node and return its response.

        What changes something is asked for once, by a client that the node knows by then.
        """
        changes = service != _STATE
        if changes:
            self.state()
        client = self._clients[service]
        self.until(client.service_is_ready, f'service {service}', DISCOVERY_S)
        response = response_to(client, request, repeats=not changes)
        return self.until(response, f'response of {service}', timeout_s)

    def set_parameter(self, name: str, value: object) -> SetParametersResult:
        """Set a parameter of the node."""
        from rclpy.parameter import Parameter as Named

        message: Parameter = Named(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[message])
        return self.call('set_parameters', request).results[0]

    def change_state(self, transition: int) -> bool:
        """Ask for a lifecycle transition; tell whether it was made."""
        request = ChangeState.Request()
        request.transition.id = transition
        return bool(self.call('change_state', request).success)

    def state(self) -> int:
        """Return the lifecycle state of the node."""
        return int(self.call(_STATE, GetState.Request()).current_state.id)

    def is_active(self) -> bool:
        """Tell whether the node answers frames."""
        return self.state() == int(State.PRIMARY_STATE_ACTIVE)

    def _receive(self, message: Image) -> None:
        with self._changed:
            self._answered[stamp_ns(message.header.stamp)] = (time.monotonic(), message)
            self._count += 1
            _forget(self._answered, _KEPT)
            self._changed.notify_all()

    def _hear(self, message: DiagnosticArray) -> None:
        with self._changed:
            self._health = ' '.join(status.message for status in message.status)

    def _stream(self) -> None:
        while not self._ended.is_set():
            self._streaming.wait()
            if self._ended.is_set():
                return
            self.send_good()
            self._ended.wait(PERIOD_S)

    def _end_stream(self, stream: threading.Thread) -> None:
        self._ended.set()
        self._streaming.set()
        stream.join(10.0)


def _forget(by_stamp: dict[int, Any], kept: int) -> None:
    """Drop the oldest."""
    while len(by_stamp) > kept:
        by_stamp.pop(next(iter(by_stamp)))
