# SPDX-License-Identifier: Apache-2.0
"""nuScenes, validation split: depth from one image of the front camera."""

from __future__ import annotations

from pathlib import Path

from metric_depth_ros.evaluation.benchmarks.families import metric_table, metric_task
from metric_depth_ros.evaluation.benchmarks.nuscenes_tables import NuScenes
from metric_depth_ros.evaluation.benchmarks.protocol import Benchmark

_LAYOUT = """\
DIR/v1.0-trainval/{scene,sample,sample_data,calibrated_sensor,ego_pose}.json
DIR/samples/CAM_FRONT/*.jpg
DIR/samples/LIDAR_TOP/*.pcd.bin
The full data set, as its archives unpack; of the files, those of the validation split."""
_RANGE_M = (0.001, 80.0)
# Numbers of the 150 validation scenes, first and last of every run of them.
_VALIDATION = (
    (3, 3), (12, 18), (35, 36), (38, 39), (92, 110), (221, 221), (268, 278), (329, 332),
    (344, 346), (519, 524), (552, 565), (625, 627), (629, 630), (632, 638), (770, 771),
    (775, 775), (777, 778), (780, 784), (794, 800), (802, 802), (904, 917), (919, 931),
    (962, 963), (966, 969), (971, 972), (1059, 1073),
)  # fmt: skip
SCENES = tuple(f'scene-{n:04d}' for first, last in _VALIDATION for n in range(first, last + 1))


def _open(path: Path) -> NuScenes:
    return NuScenes(path, 'v1.0-trainval', SCENES, 'nuscenes', with_radar=False)


BENCHMARK = Benchmark(
    name='nuscenes',
    title='nuScenes, validation',
    layout=_LAYOUT,
    open=_open,
    images=6019,
    tasks=(metric_task(*_RANGE_M),),
    tables=metric_table('nuscenes'),
    choices=(
        'The front camera at all key frames of the 150 validation scenes, one LiDAR sweep '
        'between 0.001 and 80 m (1 m at least, 1 px border), mean over images; cameras, frames, '
        'caps and aggregation of the table were not published.',
    ),
)
