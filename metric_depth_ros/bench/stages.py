# SPDX-License-Identifier: Apache-2.0
"""Each stage between a message and its answer, against one copy of the bytes that it moves.

Stages run as the node runs them, one after another in this process, for one camera of a rig.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from rclpy.executors import Executor
from rclpy.node import Node
from sensor_msgs.msg import Image

from metric_depth_ros.bench.instant_node import InstantEstimator
from metric_depth_ros.bench.rig_messages import RigMessage, messages_of
from metric_depth_ros.bench.rigs import Rig
from metric_depth_ros.bench.stopwatch import Row, processor_ms
from metric_depth_ros.codecs.cdr import WireMessage, read_cloud, read_image
from metric_depth_ros.codecs.image import decode_color, decode_depth, encode_depth
from metric_depth_ros.codecs.pointcloud import decode_xyz
from metric_depth_ros.geometry.projection import project_cloud
from metric_depth_ros.prompting.depth_image import prompt_from_registered_depth
from metric_depth_ros.prompting.lidar import prompt_from_projection
from metric_depth_ros.replay.spinning_node import idle_node
from metric_depth_ros.ros.assembly import Assembly
from metric_depth_ros.ros.limits import limited_depth
from metric_depth_ros.ros.messages import MessageBuffer, image_message
from metric_depth_ros.ros.qos import output_qos, sensor_qos
from metric_depth_ros.types import Frame

_MAX_RANGE_M = 250.0
_RECEIPT_S = 1.0


class _Stage(NamedTuple):
    """What is timed, how many bytes it moves, and what has to happen before each time."""

    name: str
    call: Callable[[], object]
    moved: int
    before: Callable[[], object] = lambda: None


def stage_rows(rig: Rig, rounds: int) -> list[Row]:
    """Return a row a stage: its time, and the ratio to one copy of the bytes that it moves."""
    with idle_node('bench_stages') as (node, executor):
        stages = _stages(rig, node, executor)
        return [_row(rig.name, stage, rounds) for stage in stages]


def _stages(rig: Rig, node: Node, executor: Executor) -> list[_Stage]:
    own = rig.cameras[0]
    messages = {
        m.topic.removeprefix(own.prefix): m
        for m in messages_of(rig)
        if m.topic == 'points' or m.topic.startswith(own.prefix)
    }
    image = read_image(messages['image'].serialized())
    measured: WireMessage = (
        read_image(messages['sensor_depth/image'].serialized())
        if rig.scan is None
        else read_cloud(messages['points'].serialized())
    )
    arrived = {
        'image': image, 'camera_info': messages['camera_info'].message, rig.source: measured,
    }  # fmt: skip
    estimate = InstantEstimator().estimate(Frame(1, '', decode_color(image), own.camera))
    limited = limited_depth(estimate, _MAX_RANGE_M, 0.0)
    buffer = MessageBuffer()
    size = limited.depth.nbytes

    def decode() -> None:
        decode_color(image)
        (decode_depth if rig.scan is None else decode_xyz)(measured)

    def encode() -> Image:
        shown = limited_depth(estimate, _MAX_RANGE_M, 0.0).depth
        return image_message(
            messages['image'].message.header, encode_depth(shown, out=buffer.sized(size)), buffer
        )

    answer = encode()
    publisher = node.create_publisher(Image, 'bench/depth', output_qos())
    return [
        *_receipts(list(messages.values()), node, executor),
        _Stage('decode', decode, image.data.nbytes + measured.data.nbytes),
        _Stage('assemble', lambda: _assemble(rig.source, arrived), len(image.serialized)),
        *_prompt_stages(rig, measured),
        _Stage('encode', encode, size),
        _Stage('publish', lambda: publisher.publish(answer), size),
    ]


def _receipts(messages: list[RigMessage], node: Node, executor: Executor) -> list[_Stage]:
    """Return the stage of taking messages that have arrived out of the middleware."""
    received: list[Any] = []
    sent = [(m, m.serialized()) for m in messages]
    publishers = []
    for message, _ in sent:
        topic = f'bench/{message.topic}'
        read = {'points': read_cloud, 'camera_info': lambda data: data}.get(
            message.topic, read_image
        )
        publishers.append(node.create_publisher(message.kind, topic, output_qos()))
        node.create_subscription(
            message.kind,
            topic,
            lambda data, read=read: received.append(read(data)),
            sensor_qos(2),
            raw=True,
        )

    def send() -> None:
        received.clear()
        for publisher, (_, data) in zip(publishers, sent, strict=True):
            publisher.publish(data)

    def take() -> None:
        ends_s = time.monotonic() + _RECEIPT_S
        while len(received) < len(sent) and time.monotonic() < ends_s:
            executor.spin_once(_RECEIPT_S)

    return [_Stage('receive', take, sum(len(data) for _, data in sent), send)]


def _prompt_stages(rig: Rig, measured: WireMessage) -> list[_Stage]:
    if rig.scan is None:
        depth = decode_depth(measured)
        return [_Stage('prompt', lambda: prompt_from_registered_depth(depth), depth.nbytes)]
    camera, T = rig.cameras[0].camera, rig.cameras[0].T_camera_lidar
    assert T is not None
    xyz = decode_xyz(measured)
    seen = project_cloud(camera, xyz, T)
    return [
        _Stage('project', lambda: project_cloud(camera, xyz, T), xyz.nbytes),
        _Stage('prompt', lambda: prompt_from_projection(seen), seen.uv.nbytes + seen.depth.nbytes),
    ]


def _assemble(source: str, arrived: dict[str, Any]) -> None:
    assembly = Assembly([source], ['camera_info'], 0.1, 0.0)
    for stream, message in arrived.items():
        if stream != 'image':
            assembly.offer(stream, message, 1)
    assembly.offer_image(arrived['image'], 1)
    assembly.take()


def _row(rig_name: str, stage: _Stage, rounds: int) -> Row:
    """Time a stage and a copy of its bytes in turns."""
    source = np.ones(stage.moved, np.uint8)
    target = np.empty_like(source)
    times_ms = np.empty((rounds + 1, 2))
    for i in range(rounds + 1):
        stage.before()
        times_ms[i] = processor_ms(stage.call), processor_ms(lambda: np.copyto(target, source))
    stage_ms, copy_ms = times_ms[1:].T
    return Row(
        f'{rig_name}: {stage.name}',
        float(np.percentile(stage_ms, 50)),
        float(np.percentile(stage_ms, 99)),
        f'one copy of {stage.moved / 1e6:.1f} MB',
        float(np.median(stage_ms / copy_ms)),
    )
