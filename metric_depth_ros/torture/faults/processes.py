# SPDX-License-Identifier: Apache-2.0
"""Signals, namesakes, neighbors, and a subscriber that stops reading."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from sensor_msgs.msg import Image

from metric_depth_ros.replay.node_process import NodeProcess
from metric_depth_ros.replay.spinning_node import idle_node
from metric_depth_ros.torture.fault import Fault
from metric_depth_ros.torture.good_stream import frame
from metric_depth_ros.torture.holdings import orphans_of, segments_of
from metric_depth_ros.torture.rig import DISCOVERY_S, NotObservedError, Rig

_STOPPED_S = 3.0
_NEIGHBOR = 'neighbor'
_READER = """
import sys, rclpy
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node('reader')
node.create_subscription(Image, 'depth/image', lambda m: print('read', flush=True), 2)
rclpy.spin(node)
"""


def _started(rig: Rig, namespace: str = _NEIGHBOR) -> NodeProcess:
    node = rig.start_node(namespace)
    rig.until(lambda: 'active' in node.log, 'second node', DISCOVERY_S)
    return node


def _ended(rig: Rig, node: NodeProcess) -> float:
    """Wait for the end of a node that was interrupted; return how long it took."""
    began_s = time.monotonic()
    code = node.wait(4 * rig.bars.end_s)
    took_s = time.monotonic() - began_s
    if code != 0:
        raise NotObservedError(f'exit code {code}: {node.last_words()}')
    if took_s > rig.bars.end_s:
        raise NotObservedError(f'it took {took_s:.2f} s to end, more than {rig.bars.end_s:g}')
    return took_s


def _signals(numbers: Sequence[int]) -> Callable[[Rig], str]:
    def inject(rig: Rig) -> str:
        with _started(rig) as node:
            segments = segments_of(node.pid)
            for number in numbers:
                node.signal(number)
            took_s = _ended(rig, node)
            left = orphans_of(segments)
            if left:
                raise NotObservedError(f'shared memory is left: {", ".join(sorted(left))}')
            return f'exit code 0 after {took_s:.2f} s, no shared memory left'

    return inject


def _signal_while_hanging(rig: Rig) -> str:
    with _started(rig) as node:
        for _ in range(3):
            messages = frame(rig.now_ns(), fault='hang')
            rig.send({f'/{_NEIGHBOR}/{topic}': m for topic, m in messages.items()})
            time.sleep(0.1)
        node.signal(signal.SIGTERM)
        return f'exit code 0 after {_ended(rig, node):.2f} s'


def _killed(rig: Rig) -> str:
    segments = segments_of(rig.node.pid)
    rig.node.signal(signal.SIGKILL)
    rig.node.wait(5.0)
    left = len(orphans_of(segments))
    began_s = time.monotonic()
    rig.node = rig.start_node()
    rig.until(lambda: 'active' in rig.node.log, 'the node again', DISCOVERY_S)
    active_s = time.monotonic() - began_s
    rig.wait_recovered(time.monotonic(), DISCOVERY_S)
    still = orphans_of(segments)
    if still:
        raise NotObservedError(f'shared memory of the killed node is left: {len(still)} files')
    return f'active again after {active_s:.1f} s; {left} files of shared memory cleared away'


def _namesake(rig: Rig) -> str:
    with _started(rig, '') as other:
        rig.wait_recovered(time.monotonic())
        other.signal(signal.SIGINT)
        took_s = _ended(rig, other)
    return f'both answer; the second one ended with 0 after {took_s:.2f} s'


def _stopped_reader(rig: Rig) -> str:
    reader = subprocess.Popen(
        [sys.executable, '-c', _READER],
        stdout=subprocess.PIPE,
        env={**os.environ, **rig.environment},
        start_new_session=True,
    )
    try:
        assert reader.stdout is not None
        reader.stdout.readline()
        reader.send_signal(signal.SIGSTOP)
        began_s, before = time.monotonic(), rig.answered_count()
        time.sleep(_STOPPED_S)
        answered = rig.answered_count() - before
        if not answered:
            raise NotObservedError('the others got nothing either')
        rate_hz = answered / (time.monotonic() - began_s)
        reader.send_signal(signal.SIGCONT)
    finally:
        reader.kill()
        reader.wait()
        if reader.stdout is not None:
            reader.stdout.close()
    return f'others went on at {rate_hz:.1f} Hz while it was stopped'


def _other_domain(rig: Rig) -> str:
    since, before = rig.log_position(), rig.answered_count()
    domain = rig.domain % 101 + 1
    with idle_node('stranger', domain) as (node, _):
        publisher = node.create_publisher(Image, 'image', 5)
        for _ in range(10):
            publisher.publish(Image(encoding='from another domain'))
            time.sleep(0.05)
    if 'image_encoding' in rig.node.log[since:]:
        raise NotObservedError('images of another domain were received')
    rig.until(lambda: rig.answered_count() > before, 'answers meanwhile')
    return 'nothing of it was received, frames went on'


FAULTS: tuple[Fault, ...] = (
    *(
        Fault(
            'processes', name, 'exit code 0 in time, nothing left',
            _signals(numbers), is_quick=len(numbers) > 2,
        )
        for name, numbers in (
            ('SIGINT', (signal.SIGINT,)),
            ('SIGTERM', (signal.SIGTERM,)),
            ('SIGTERM twice', (signal.SIGTERM, signal.SIGTERM)),
            ('SIGINT, then SIGTERM twice', (signal.SIGINT, signal.SIGTERM, signal.SIGTERM)),
        )
    ),
    Fault('processes', 'SIGTERM while the estimator hangs', 'exit code 0 in time',
          _signal_while_hanging),
    Fault('processes', 'SIGKILL and restart', 'answers again, no shared memory left', _killed),
    Fault('processes', 'two nodes of one name', 'both answer, either can be ended', _namesake,
          is_quick=False),
    Fault('processes', 'subscriber that stops reading', 'all others go on', _stopped_reader,
          is_quick=False),
    Fault('processes', 'publisher in another domain', 'nothing of it is received',
          _other_domain),
)  # fmt: skip
