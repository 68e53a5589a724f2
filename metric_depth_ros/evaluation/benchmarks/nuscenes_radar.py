# SPDX-License-Identifier: Apache-2.0
"""nuScenes, test split: front camera and front radar against a single LiDAR sweep."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metric_depth_ros.evaluation.benchmarks import published
from metric_depth_ros.evaluation.benchmarks.nuscenes_tables import NuScenes
from metric_depth_ros.evaluation.benchmarks.prompts import measured
from metric_depth_ros.evaluation.benchmarks.protocol import (
    Benchmark,
    Column,
    Item,
    Score,
    Table,
    Task,
)
from metric_depth_ros.evaluation.metrics import FAILED_DEPTH_M, error_sums
from metric_depth_ros.evaluation.radar_protocol import CAPS_M, radar_metrics
from metric_depth_ros.types import DepthEstimate

_LAYOUT = """\
DIR/v1.0-test/{scene,sample,sample_data,calibrated_sensor,ego_pose}.json
DIR/samples/CAM_FRONT/*.jpg
DIR/samples/LIDAR_TOP/*.pcd.bin
DIR/samples/RADAR_FRONT/*.pcd
The test split of the full data set, as its archives unpack; sweeps are not needed."""
_TASK = 'radar'


def _open(path: Path) -> NuScenes:
    return NuScenes(path, 'v1.0-test', None, 'nuscenes_radar', with_radar=True)


def _score(estimate: DepthEstimate, item: Item) -> Score:
    """Score up to every cap; what is missing counts as 0.001 m."""
    depth = estimate.depth
    with np.errstate(invalid='ignore'):
        usable = np.isfinite(depth) & (depth > 0.0)
    prediction = np.where(usable, depth, np.float32(FAILED_DEPTH_M))
    truth = np.nan_to_num(item.depth, nan=0.0)
    figures = {
        f'{key} {cap:.0f}': value
        for cap in CAPS_M
        for key, value in radar_metrics(prediction, truth, cap).items()
    }
    return Score(figures, error_sums(depth, item.depth, item.depth < max(CAPS_M)))


def _columns() -> tuple[Column, ...]:
    return tuple(
        Column(f'0-{cap:.0f} {heading}', _TASK, f'{key} {cap:.0f}')
        for cap in CAPS_M
        for heading, key in (('MAE mm', 'mae_mm'), ('RMSE mm', 'rmse_mm'))
    )


BENCHMARK = Benchmark(
    name='nuscenes_radar',
    title='nuScenes, radar and camera',
    layout=_LAYOUT,
    open=_open,
    images=6008,
    tasks=(Task(_TASK, measured('radar'), score=_score),),
    tables=(
        Table(
            'MetricAnything, table 2: radar and camera on nuScenes',
            _columns(),
            published.rows(published.RADAR),
            'Some of the published rows follow other splits and ground truths.',
        ),
    ),
    choices=(
        'The protocol of Singh et al.: all key frames of the 150 scenes of v1.0-test, ground '
        'truth from one LiDAR sweep (depth above 1 m, 1 px border, nearest of a pixel, points '
        'that a nearer surface hides kept), strictly between 0 and the cap, mean over images.',
        "One radar sweep; clutter is left out as by the development kit's defaults.",
        'Missing and non-positive predictions count as 0.001 m.',
    ),
)
