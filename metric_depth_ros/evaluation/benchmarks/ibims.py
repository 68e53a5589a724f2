# SPDX-License-Identifier: Apache-2.0
"""iBims-1: 100 indoor images with the depth of a laser scanner."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metric_depth_ros.evaluation.benchmarks.families import (
    FOV_CHOICE,
    block_table,
    block_tasks,
    boundary_table,
    boundary_task,
    fov_table,
    geometry_tables,
    geometry_tasks,
)
from metric_depth_ros.evaluation.benchmarks.layout import Folder, within
from metric_depth_ros.evaluation.benchmarks.moge_view import MOGE_CHOICES
from metric_depth_ros.evaluation.benchmarks.prompts import BLOCK_CHOICES
from metric_depth_ros.evaluation.benchmarks.protocol import Benchmark, Item

_LAYOUT = """\
DIR/rgb/NAME.png             color image
DIR/depth/NAME.png           16-bit PNG, 50 m / 65535 a unit, 0 = none
DIR/calib/NAME.txt           fx, fy, cx, cy in pixels
DIR/mask_invalid/NAME.png    0 where the depth is not valid
DIR/mask_transp/NAME.png     0 where something is transparent
The archive ibims1_core_raw, unpacked."""
_RANGE_M = (0.005, 50.0)
_UNIT_M = 50.0 / 65535.0


class _Images:
    """The images of a folder."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path, 'ibims')
        self._path = path
        self.ids = [p.stem for p in self._folder.files('rgb/*.png')]
        for name in self.ids:
            self._folder.required(self._parts(name))

    def _parts(self, name: str) -> list[Path]:
        return [
            self._path / 'depth' / f'{name}.png',
            self._path / 'calib' / f'{name}.txt',
            self._path / 'mask_invalid' / f'{name}.png',
            self._path / 'mask_transp' / f'{name}.png',
        ]

    def load(self, index: int) -> Item:
        """Read an image."""
        folder, name = self._folder, self.ids[index]
        depth_path, calibration, valid, opaque = self._parts(name)
        image = folder.image(self._path / 'rgb' / f'{name}.png')
        size = image.shape[:2]
        raw = folder.values(depth_path, np.uint16, size)
        depth = within(raw.astype(np.float32) * np.float32(_UNIT_M), *_RANGE_M)
        depth[~(folder.mask(valid, size) & folder.mask(opaque, size))] = np.nan
        camera = folder.camera(calibration, size, folder.numbers(calibration, 4)[:4])
        return Item(name, image, depth, camera)


BENCHMARK = Benchmark(
    name='ibims',
    title='iBims-1',
    layout=_LAYOUT,
    open=_Images,
    images=100,
    tasks=(*geometry_tasks(640, 480), boundary_task(), *block_tasks()),
    tables=(
        *geometry_tables('ibims'),
        fov_table('ibims'),
        boundary_table('ibims'),
        block_table('ibims'),
    ),
    choices=(
        'Invalid and transparent regions do not count; no cap on depth.',
        *MOGE_CHOICES,
        FOV_CHOICE,
        'Boundary F1: on the images as they are, camera given; pairs of pixels that touch one '
        'without ground truth do not count, which the published code may have counted.',
        *BLOCK_CHOICES,
    ),
)
