# SPDX-License-Identifier: Apache-2.0
"""Each stage between a message and its answer, against one copy of the bytes that it moves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from metric_depth_ros.bench.skin_scenarios import Scenario, messages_of, scene_of
from metric_depth_ros.bench.stopwatch import Row
from metric_depth_ros.codecs.image import decode_color, decode_depth, encode_depth
from metric_depth_ros.codecs.pointcloud import decode_xyz
from metric_depth_ros.geometry.projection import project_cloud
from metric_depth_ros.prompting.depth_image import prompt_from_registered_depth
from metric_depth_ros.prompting.lidar import prompt_from_cloud
from metric_depth_ros.ros.assembly import Assembly
from metric_depth_ros.ros.messages import MessageBuffer, image_message
from metric_depth_ros.ros.qos import output_qos

_T_CAMERA_LIDAR = np.array(
    [[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
_Stage = tuple[str, Callable[[], object], int]


def stage_rows(scenario: Scenario, rounds: int) -> list[Row]:
    """Return a row a stage: its time, and the ratio to one copy of the bytes that it moves."""
    context = Context()
    options = SignalHandlerOptions.NO
    rclpy.init(args=[], context=context, signal_handler_options=options)
    node = Node('bench_stages', context=context, enable_rosout=False)
    try:
        stages = _stages(scenario, node)
        return [row for stage in stages for row in _timed(scenario, stage, rounds)]
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def _stages(scenario: Scenario, node: Node) -> list[_Stage]:
    scene = scene_of(scenario)
    messages = messages_of(scenario, scene)
    serialized = {topic: (serialize_message(m), type(m)) for topic, m in messages.items()}
    image_bytes = len(messages['image'].data)
    measured = messages['points' if scenario.points else 'sensor_depth/image']
    all_bytes = sum(len(data) for data, _ in serialized.values())
    buffer = MessageBuffer()
    size = 4 * scene.depth.size
    fields = encode_depth(scene.depth, out=buffer.sized(size))
    answer = image_message(messages['image'].header, fields, buffer)
    publisher = node.create_publisher(Image, 'bench/depth', output_qos())
    xyz = decode_xyz(measured) if scenario.points else None

    def receive() -> None:
        for data, kind in serialized.values():
            deserialize_message(data, kind)

    def decode() -> None:
        decode_color(messages['image'])
        if scenario.points:
            decode_xyz(measured)
        else:
            decode_depth(measured)

    stages: list[_Stage] = [
        ('receive', receive, all_bytes),
        ('decode', decode, image_bytes + len(measured.data)),
        ('assemble', lambda: _assembled(scenario, messages), all_bytes),
    ]
    if xyz is not None:
        moved = xyz.size * 4
        stages += [
            ('project', lambda: project_cloud(scene.camera, xyz, _T_CAMERA_LIDAR), moved),
            ('project and prompt',
             lambda: prompt_from_cloud(scene.camera, xyz, _T_CAMERA_LIDAR), moved),
        ]  # fmt: skip
    else:
        depth = decode_depth(measured)
        stages.append(('prompt', lambda: prompt_from_registered_depth(depth), depth.nbytes))
    return [
        *stages,
        ('encode', lambda: encode_depth(scene.depth, out=buffer.sized(size)), size),
        ('publish', lambda: publisher.publish(answer), size),
    ]


def _assembled(scenario: Scenario, messages: dict[str, Any]) -> None:
    assembly = Assembly([scenario.source], ['camera_info'], 0.1, 0.0)
    for topic, message in messages.items():
        if topic != 'image':
            assembly.offer(topic.removesuffix('/image'), message, 1)
    assembly.offer_image(messages['image'], 1)
    assembly.take()


def _timed(scenario: Scenario, stage: _Stage, rounds: int) -> list[Row]:
    """Time a stage and a copy of its bytes in turns."""
    name, call, size = stage
    source = np.ones(size, np.uint8)
    target = np.empty_like(source)
    times_ms = np.empty((rounds + 1, 2))
    for i in range(rounds + 1):
        for j, action in enumerate((call, lambda: np.copyto(target, source))):
            began_s = time.perf_counter()
            action()
            times_ms[i, j] = 1e3 * (time.perf_counter() - began_s)
    stage_ms, copy_ms = times_ms[1:].T
    baseline = f'one copy of {size / 1e6:.1f} MB'
    return [
        Row(
            f'{scenario.name}: {name}',
            float(np.percentile(stage_ms, 50)),
            float(np.percentile(stage_ms, 99)),
            baseline,
            float(np.median(stage_ms / copy_ms)),
        )
    ]
