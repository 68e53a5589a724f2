# SPDX-License-Identifier: Apache-2.0
"""Booster: transparent and mirroring surfaces, the balanced training scenes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from metric_depth_ros.evaluation.benchmarks.families import METRIC, metric_score, metric_table
from metric_depth_ros.evaluation.benchmarks.layout import Folder, within
from metric_depth_ros.evaluation.benchmarks.protocol import (
    Benchmark,
    Column,
    Item,
    Table,
    Task,
)
from metric_depth_ros.framesets.stored_arrays import load_array

_LAYOUT = """\
DIR/train/balanced/SCENE/camera_00/*.png    left images, one an illumination
DIR/train/balanced/SCENE/disp_00.npy        their disparity in pixels, 0 = none
DIR/train/balanced/SCENE/mask_00.png        0 where the disparity does not count
DIR/train/balanced/SCENE/calib_00-02.xml    of OpenCV: proj_matL, and baselineLR in millimeters
The archive booster_gt, unpacked."""
_RANGE_M = (1e-3, 10.0)
_EPSILON_PX = 1e-6
_POOLED = 'pooled'
# Of the released student, printed by its own evaluation.
_RELEASED = (0.5943, 0.8411, 0.9683, 0.28214, 0.41278, 0.28915, 0.10041, 0.30299, 0.27338, 0.15641)
_FIGURES = (
    'delta1', 'delta2', 'delta3', 'abs_rel', 'rmse_m', 'mae_m', 'log10', 'rmse_log', 'silog',
    'sq_rel',
)  # fmt: skip


class _Images:
    """The images of a folder."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path, 'booster')
        self._images = self._folder.files('train/balanced/*/camera_00/*.png')
        for scene in dict.fromkeys(p.parents[1] for p in self._images):
            names = ('disp_00.npy', 'mask_00.png', 'calib_00-02.xml')
            self._folder.required(scene / name for name in names)
        self.ids = [f'{p.parents[1].name}/{p.stem}' for p in self._images]

    def load(self, index: int) -> Item:
        """Read an image."""
        folder, path = self._folder, self._images[index]
        scene = path.parents[1]
        image = folder.image(path)
        size = image.shape[:2]
        disparity = load_array(scene / 'disp_00.npy').astype(np.float64)
        folder.same_size(scene / 'disp_00.npy', disparity, size)
        K, baseline_mm = self._calibration(scene / 'calib_00-02.xml')
        depth = (1e-3 * K[0] * baseline_mm / (disparity + _EPSILON_PX)).astype(np.float32)
        depth[~((disparity > 0.0) & folder.mask(scene / 'mask_00.png', size))] = np.nan
        camera = folder.camera(scene / 'calib_00-02.xml', size, K)
        return Item(self.ids[index], image, within(depth, *_RANGE_M), camera)

    def _calibration(self, path: Path) -> tuple[tuple[float, float, float, float], float]:
        try:
            storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
            P = storage.getNode('proj_matL').mat()
            baseline = float(storage.getNode('baselineLR').real())
        except (cv2.error, SystemError) as error:
            raise self._folder.fault(path, f'cannot be read as XML of OpenCV ({error})') from error
        if P is None or P.shape[0] < 3 or baseline <= 0.0:
            raise self._folder.fault(path, 'lacks proj_matL or a positive baselineLR')
        return (float(P[0, 0]), float(P[1, 1]), float(P[0, 2]), float(P[1, 2])), baseline


BENCHMARK = Benchmark(
    name='booster',
    title='Booster, balanced training scenes',
    layout=_LAYOUT,
    open=_Images,
    images=228,
    tasks=(Task(METRIC, score=metric_score),),
    tables=(
        *metric_table('booster', _POOLED),
        Table(
            'Released student, by its own evaluation',
            tuple(Column(key, METRIC, key, statistic=_POOLED) for key in _FIGURES),
            (('MetricAnything student, depth map', _RELEASED),),
        ),
    ),
    choices=(
        'As the evaluation of the released student: depth from disparity between 0.001 and 10 m, '
        'camera given, all pixels of all images in one mean.',
        'That evaluation smooths the image while it brings it to the size of the network; the '
        "estimators do as their networks' own code, which does not.",
    ),
)
