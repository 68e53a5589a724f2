# SPDX-License-Identifier: Apache-2.0
"""KITTI depth completion: the 1000 selected, cropped validation images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metric_depth_ros.evaluation.benchmarks.families import sampled_table, sampled_tasks
from metric_depth_ros.evaluation.benchmarks.layout import Folder
from metric_depth_ros.evaluation.benchmarks.prompts import SAMPLER_CHOICES, measured
from metric_depth_ros.evaluation.benchmarks.protocol import (
    Benchmark,
    Column,
    Item,
    Score,
    Table,
    Task,
    depth_score,
)
from metric_depth_ros.evaluation.completion_protocol import completion_metrics
from metric_depth_ros.framesets.stored_arrays import load_depth_map
from metric_depth_ros.simulation.sensors.patterns import at_pixels
from metric_depth_ros.types import DepthEstimate, Source

_LAYOUT = """\
DIR/image/NAME_image_NUMBER_image_0C.png                           color image, 1216x352
DIR/groundtruth_depth/NAME_groundtruth_depth_NUMBER_image_0C.png   16-bit PNG, m * 256, 0 = none
DIR/velodyne_raw/NAME_velodyne_raw_NUMBER_image_0C.png             16-bit PNG, the scan
DIR/intrinsics/NAME_image_NUMBER_image_0C.txt                      9 numbers, row by row
The folder depth_selection/val_selection_cropped of the benchmark's archive."""
_SCAN = 'scan'
_UNIT_M = 1.0 / 256.0


class _Images:
    """The images of a folder."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path, 'kitti_dc')
        self._images = self._folder.files('image/*.png')
        for image in self._images:
            if '_image_' not in image.stem:
                raise self._folder.fault(image, 'is not called like *_image_NUMBER_image_0C.png')
            self._folder.required(_parts(image))
        self.ids = [p.stem for p in self._images]

    def load(self, index: int) -> Item:
        """Read an image."""
        folder, path = self._folder, self._images[index]
        truth, scan, calibration = _parts(path)
        image = folder.image(path)
        size = image.shape[:2]
        maps = []
        for file in (truth, scan):
            maps.append(load_depth_map(file, _UNIT_M))
            folder.same_size(file, maps[-1], size)
        numbers = folder.numbers(calibration, 9)
        K = [numbers[i] for i in (0, 4, 2, 5)]
        points = at_pixels(maps[1], np.flatnonzero(maps[1] > 0.0), Source.LIDAR)
        return Item(
            path.stem, image, maps[0], folder.camera(calibration, size, K), {_SCAN: points}
        )


def _parts(image: Path) -> tuple[Path, Path, Path]:
    root, name = image.parents[1], image.name
    truth = name.replace('_image_', '_groundtruth_depth_', 1)
    scan = name.replace('_image_', '_velodyne_raw_', 1)
    return (
        root / 'groundtruth_depth' / truth,
        root / 'velodyne_raw' / scan,
        root / 'intrinsics' / f'{image.stem}.txt',
    )


def _completion_score(estimate: DepthEstimate, item: Item) -> Score:
    """Score depth, and as the benchmark of the data set does: mm, and 1/km of the inverse."""
    score = depth_score(estimate, item)
    # What is missing counts as 0 there, whose inverse counts as 0.
    prediction = np.nan_to_num(estimate.depth, nan=0.0, posinf=0.0, neginf=0.0)
    figures = completion_metrics(prediction, np.nan_to_num(item.depth, nan=0.0))
    ours = {
        'mae_mm': 1e3 * figures['mae_m'],
        'rmse_mm': 1e3 * figures['rmse_m'],
        'imae_per_km': 1e3 * figures['imae'],
        'irmse_per_km': 1e3 * figures['irmse'],
    }
    return Score({**score.figures, **ours}, score.sums)


BENCHMARK = Benchmark(
    name='kitti_dc',
    title='KITTI depth completion, selected validation',
    layout=_LAYOUT,
    open=_Images,
    images=1000,
    tasks=(Task(_SCAN, measured(_SCAN), score=_completion_score), *sampled_tasks()),
    tables=(
        Table(
            'Completion of the scan',
            (
                Column('MAE mm', _SCAN, 'mae_mm'),
                Column('RMSE mm', _SCAN, 'rmse_mm'),
                Column('iMAE 1/km', _SCAN, 'imae_per_km'),
                Column('iRMSE 1/km', _SCAN, 'irmse_per_km'),
            ),
        ),
        sampled_table('kitti'),
    ),
    choices=(
        'Images are 1216x352 as selected, without a further crop; all pixels with ground truth '
        'count, without a cap.',
        'Figures of the scan are means over images; missing depth counts as 0.',
        'Table 1 does not say which images of KITTI it is over; these are taken.',
        *SAMPLER_CHOICES,
    ),
)
