# SPDX-License-Identifier: Apache-2.0
"""The live node against its own estimator: what ROS around it costs.

Plays a bag of a synthetic street (1242x375, a scan of 120,000 points) through the node in its own
process over DDS at 5 Hz, once with the depth image alone and once with the colored cloud too.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from metric_depth_ros.bags.layout import (
    BASE_FRAME,
    CAMERA_FRAME,
    CAMERA_INFO_TOPIC,
    IMAGE_TOPIC,
    LIDAR_FRAME,
    POINTS_TOPIC,
    TF_STATIC_TOPIC,
)
from metric_depth_ros.bags.messages import (
    camera_info_message,
    cloud_message,
    color_message,
    transforms_message,
)
from metric_depth_ros.bags.writer import BagWriter
from metric_depth_ros.bench.scene import street_like, surround_scan
from metric_depth_ros.bench.stopwatch import Row
from metric_depth_ros.replay.session import ReplayOptions, replay

_ESTIMATOR = 'classical:fast'
_PERIOD_NS = 200_000_000
_START_NS = 1_000_000_000_000
_LARGEST_OVERHEAD_MS = 40.0
# From LiDAR axes (x forward, y left, z up) to optical ones (x right, y down, z forward).
_T_BASE_CAMERA = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def run(rounds: int) -> list[Row]:
    """Time the node over `rounds` frames; the baseline is the estimator inside it."""
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / 'street'
        _write_street(bag, rounds)
        return [
            row
            for with_points, outputs in ((False, 'depth only'), (True, 'depth and cloud'))
            for row in _replayed(bag, Path(folder), with_points, outputs)
        ]


def _write_street(bag: Path, frames: int) -> None:
    scene = street_like(1242, 375)
    x, y, z = surround_scan(120_000).T
    columns = {'x': x, 'y': y, 'z': z, 'intensity': np.ones_like(x)}
    transforms = {(BASE_FRAME, CAMERA_FRAME): _T_BASE_CAMERA, (BASE_FRAME, LIDAR_FRAME): np.eye(4)}
    with BagWriter(bag) as writer:
        writer.write(TF_STATIC_TOPIC, transforms_message(transforms, _START_NS), _START_NS)
        for number in range(1, frames + 1):
            stamp_ns = _START_NS + number * _PERIOD_NS
            for topic, message in (
                (IMAGE_TOPIC, color_message(scene.image, stamp_ns, CAMERA_FRAME)),
                (CAMERA_INFO_TOPIC, camera_info_message(scene.camera, stamp_ns, CAMERA_FRAME)),
                (POINTS_TOPIC, cloud_message(columns, stamp_ns, LIDAR_FRAME)),
            ):
                writer.write(topic, message, stamp_ns)


def _replayed(bag: Path, folder: Path, with_points: bool, outputs: str) -> list[Row]:
    out = folder / ('with_points' if with_points else 'depth_only')
    out.mkdir()
    parameters = (f'estimator:={_ESTIMATOR}', 'max_frame_age_s:=0')
    answers = replay(ReplayOptions(bag, out, None, parameters, with_points=with_points)).answers
    estimator_ms, node_ms = np.array(answers.estimator_ms()), np.array(answers.latencies_ms())
    baseline_ms = float(np.median(estimator_ms))
    baseline = f'{_ESTIMATOR}, {outputs}'
    return [
        Row(baseline, baseline_ms, float(np.percentile(estimator_ms, 99)), baseline, 1.0),
        Row(
            f'node, {outputs}',
            float(np.median(node_ms)),
            float(np.percentile(node_ms, 99)),
            baseline,
            float(np.median(node_ms)) / baseline_ms,
            None if with_points else 1.0 + _LARGEST_OVERHEAD_MS / baseline_ms,
        ),
    ]
