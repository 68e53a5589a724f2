# SPDX-License-Identifier: Apache-2.0
"""Speed of everything but the network: each stage, and the live node, against floors.

The floor of a stage is one copy of the bytes that it moves. The floor of the node without its
estimator is one DDS round trip of the same sizes (an echo that looks at nothing) and one copy of
the bytes of the messages, measured in the same run.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from metric_depth_ros.bench.skin_scenarios import SCENARIOS, Scenario, messages_of, scene_of
from metric_depth_ros.bench.stages import stage_rows
from metric_depth_ros.bench.stopwatch import Row
from metric_depth_ros.errors import InputError
from metric_depth_ros.replay.node_process import NodeProcess
from metric_depth_ros.resources import dds_environment
from metric_depth_ros.ros.shared_memory import clear_orphans

_CALIBRATION = """\
transforms:
  - {parent: camera, child: lidar, matrix: [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]]}
"""
_STAMP = slice(4, 12)  # of a serialized message with a header
_DISCOVERY_S = 30.0
_ANSWER_S = 3.0
_ECHO = 'metric_depth_ros.bench.echo'
_INSTANT = 'metric_depth_ros.bench.instant_node'


def run(rounds: int) -> list[Row]:
    """Time all scenarios over `rounds` frames each."""
    environment = {
        'ROS_DOMAIN_ID': str(random.SystemRandom().randint(1, 101)),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        **dds_environment(),
    }
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return [row for s in SCENARIOS for row in _scenario_rows(s, rounds, Path(folder))]
    finally:
        os.environ.clear()
        os.environ.update(before)


def _scenario_rows(scenario: Scenario, rounds: int, folder: Path) -> list[Row]:
    rows = stage_rows(scenario, rounds)
    scene = scene_of(scenario)
    messages = {t: serialize_message(m) for t, m in messages_of(scenario, scene).items()}
    answer_bytes = 4 * scene.depth.size
    moved = sum(map(len, messages.values())) + answer_bytes
    copy_ms = _copy_ms(moved, rounds)
    kinds = {topic: type(m) for topic, m in messages_of(scenario, scene).items()}
    with _Sender(scenario, messages, kinds) as sender:
        with _echo(answer_bytes, range(scenario.cameras)):
            floor_ms = sender.round_trips_ms(rounds)
        with _nodes(scenario, folder):
            node_ms = sender.round_trips_ms(rounds)
    floor_name = f'{scenario.name}: round trip of the same sizes and one copy'
    floor_p50, floor_p99 = (float(np.percentile(floor_ms, p)) + copy_ms for p in (50, 99))
    node_p50, node_p99 = (float(np.percentile(node_ms, p)) for p in (50, 99))
    skin = f'{scenario.name}: whole node without its estimator'
    return [
        *rows,
        Row(floor_name, floor_p50, floor_p99, floor_name, 1.0),
        Row(skin, node_p50, node_p99, floor_name, node_p50 / floor_p50, scenario.bar),
    ]


def _copy_ms(size: int, rounds: int) -> float:
    source = np.ones(size, np.uint8)
    target = np.empty_like(source)
    times = []
    for _ in range(rounds + 1):
        began_s = time.perf_counter()
        np.copyto(target, source)
        times.append(1e3 * (time.perf_counter() - began_s))
    return float(np.median(times[1:]))


class _Sender:
    """Sends the messages of all cameras at their rate, and times the answers."""

    def __init__(
        self, scenario: Scenario, messages: Mapping[str, bytes], kinds: Mapping[str, type]
    ) -> None:
        self._scenario = scenario
        self._messages = {topic: bytearray(data) for topic, data in messages.items()}
        self._kinds = kinds
        self._changed = threading.Condition()
        self._answers: dict[tuple[int, bytes], float] = {}

    def __enter__(self) -> _Sender:
        self._context = Context()
        options = SignalHandlerOptions.NO
        rclpy.init(args=[], context=self._context, signal_handler_options=options)
        self._node = Node('bench_sender', context=self._context, enable_rosout=False)
        self._publishers: list[dict[str, Any]] = []
        for camera in range(self._scenario.cameras):
            prefix = f'camera{camera}/'
            self._publishers.append(
                {
                    topic: self._node.create_publisher(kind, prefix + topic, 5)
                    for topic, kind in self._kinds.items()
                }
            )
            self._node.create_subscription(
                Image, f'{prefix}depth/image', self._receiver(camera), 5, raw=True
            )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._thread.join(5.0)
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def round_trips_ms(self, rounds: int) -> list[float]:
        """Return the time from the publication of each image to its answer.

        Raises
        ------
        InputError
            Nothing answers.
        """
        deadline_s = time.monotonic() + _DISCOVERY_S
        while len(self._round()) < self._scenario.cameras:  # until all have found each other
            if time.monotonic() > deadline_s:
                raise InputError('bench', f'{self._scenario.name}: nothing answers.')
        times: list[float] = []
        period_s = 1.0 / self._scenario.rate_hz
        for _ in range(rounds):
            began_s = time.monotonic()
            times += self._round()
            time.sleep(max(0.0, began_s + period_s - time.monotonic()))
        if not times:
            raise InputError('bench', f'{self._scenario.name}: all answers were lost.')
        return times

    def _round(self) -> list[float]:
        """Send one frame of every camera; return the times of the answers that came."""
        now_ns = time.time_ns()
        seconds, nanoseconds = divmod(now_ns, 1_000_000_000)
        stamp = serialize_message(Time(sec=seconds, nanosec=nanoseconds))[4:12]
        sent_s = {}
        for camera, publishers in enumerate(self._publishers):
            for topic, publisher in publishers.items():
                self._messages[topic][_STAMP] = stamp
                if topic == 'image':
                    sent_s[camera] = time.perf_counter()
                publisher.publish(bytes(self._messages[topic]))
        with self._changed:
            self._changed.wait_for(
                lambda: all((camera, stamp) in self._answers for camera in sent_s), _ANSWER_S
            )
            return [
                1e3 * (self._answers.pop((camera, stamp)) - began_s)
                for camera, began_s in sent_s.items()
                if (camera, stamp) in self._answers
            ]

    def _receiver(self, camera: int) -> Any:
        def receive(data: bytes) -> None:
            with self._changed:
                self._answers[camera, data[_STAMP]] = time.perf_counter()
                self._changed.notify_all()

        return receive

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return


@contextmanager
def _echo(size: int, cameras: Sequence[int]) -> Iterator[None]:
    """Run an echo for each camera."""
    processes = [
        subprocess.Popen(
            [sys.executable, '-m', _ECHO, str(size), '--ros-args', '-r', f'__ns:=/camera{camera}'],
            start_new_session=True,
        )
        for camera in cameras
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()  # it holds nothing but shared memory, which `clear_orphans` gives back
        for process in processes:
            process.wait()
        clear_orphans()


@contextmanager
def _nodes(scenario: Scenario, folder: Path) -> Iterator[None]:
    """Run a node with an estimator that costs nothing for each camera."""
    calibration = folder / 'calibration.yaml'
    calibration.write_text(_CALIBRATION, encoding='utf-8')
    parameters = {
        'estimator': 'instant',
        'prompt.sources': f'[{scenario.source}]',
        'prompt.depth_alignment': 'registered',
        'extrinsics.source': 'file',
        'extrinsics.path': calibration,
    }
    given = [part for name, value in parameters.items() for part in ('-p', f'{name}:={value}')]
    nodes = []
    try:
        for camera in range(scenario.cameras):
            arguments = ['--ros-args', '-r', f'__ns:=/camera{camera}', *given]
            log = folder / f'node_{camera}.log'
            nodes.append(NodeProcess(arguments, log, {}, _INSTANT))
        yield
    finally:
        for node in nodes:
            node.stop()
