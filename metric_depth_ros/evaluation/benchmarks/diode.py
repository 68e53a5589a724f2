# SPDX-License-Identifier: Apache-2.0
"""DIODE: the validation split, indoors and outdoor, depth of a laser scanner."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metric_depth_ros.evaluation.benchmarks.families import (
    block_table,
    block_tasks,
    geometry_tables,
    geometry_tasks,
)
from metric_depth_ros.evaluation.benchmarks.layout import Folder, within
from metric_depth_ros.evaluation.benchmarks.moge_view import MOGE_CHOICES
from metric_depth_ros.evaluation.benchmarks.prompts import BLOCK_CHOICES
from metric_depth_ros.evaluation.benchmarks.protocol import Benchmark, Item
from metric_depth_ros.framesets.stored_arrays import load_array

_LAYOUT = """\
DIR/{indoors,outdoor}/SCENE/SCAN/NAME.png              color image, 1024x768
DIR/{indoors,outdoor}/SCENE/SCAN/NAME_depth.npy        float32 meters (768, 1024) or (768, 1024, 1)
DIR/{indoors,outdoor}/SCENE/SCAN/NAME_depth_mask.npy   1 where the depth is valid, (768, 1024)
The folder val of the archive of the validation split."""
_SIZE = (768, 1024)
_CAMERA = (886.81, 927.06, 512.0, 384.0)  # of the development kit
_NEAREST_M, _FARTHEST_M = 0.0, np.inf


def _indoors(item_id: str) -> bool:
    return item_id.startswith('indoors/')


def _outdoor(item_id: str) -> bool:
    return item_id.startswith('outdoor/')


class _Images:
    """The images of a folder."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path, 'diode')
        self._images = self._folder.files('indoors/*/*/*.png', 'outdoor/*/*/*.png')
        for image in self._images:
            self._folder.required(_depth_files(image))
        self.ids = [p.relative_to(path).with_suffix('').as_posix() for p in self._images]

    def load(self, index: int) -> Item:
        """Read an image."""
        folder, path = self._folder, self._images[index]
        image = folder.image(path)
        folder.same_size(path, image, _SIZE)
        maps = []
        for file in _depth_files(path):
            values = load_array(file).astype(np.float32)
            if values.shape not in (_SIZE, (*_SIZE, 1)):
                raise folder.fault(file, f'has shape {values.shape}, expected {_SIZE}')
            maps.append(values.reshape(_SIZE))
        depth = within(maps[0], _NEAREST_M, _FARTHEST_M)
        depth[maps[1] <= 0.0] = np.nan
        return Item(self.ids[index], image, depth, folder.camera(path, _SIZE, _CAMERA))


def _depth_files(image: Path) -> tuple[Path, Path]:
    return (
        image.with_name(f'{image.stem}_depth.npy'),
        image.with_name(f'{image.stem}_depth_mask.npy'),
    )


BENCHMARK = Benchmark(
    name='diode',
    title='DIODE, validation',
    layout=_LAYOUT,
    open=_Images,
    images=771,
    tasks=(
        *geometry_tasks(1024, 768),
        *block_tasks('indoor', _indoors),
        *block_tasks('outdoor', _outdoor),
    ),
    tables=(
        *geometry_tables('diode'),
        block_table('diode_indoor', 'indoor'),
        block_table('diode_outdoor', 'outdoor'),
    ),
    choices=(
        'The mask of the data set alone decides which depth counts; no cap.',
        'Intrinsics are those of the development kit of the data set (fx 886.81, fy 927.06).',
        'The geometry table is over indoor and outdoor images together.',
        *MOGE_CHOICES,
        *BLOCK_CHOICES,
    ),
)
