# SPDX-License-Identifier: Apache-2.0
"""NYU Depth V2: the 654 images of the official test split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metric_depth_ros.evaluation.benchmarks.families import (
    block_table,
    block_tasks,
    sampled_table,
    sampled_tasks,
)
from metric_depth_ros.evaluation.benchmarks.layout import Folder, cropped, within
from metric_depth_ros.evaluation.benchmarks.prompts import BLOCK_CHOICES, SAMPLER_CHOICES
from metric_depth_ros.evaluation.benchmarks.protocol import Benchmark, Item

_LAYOUT = """\
DIR/SCENE/rgb_NUMBER.jpg           (or .png) color image, 640x480
DIR/SCENE/sync_depth_NUMBER.png    16-bit PNG of the same image, millimeters, 0 = none
The 654 images of the official test split, as the tools of BTS write them from
nyu_depth_v2_labeled.mat (official_splits/test)."""
_ROWS, _COLUMNS = (45, 471), (41, 601)  # inside of the white border of the registered images
_RANGE_M = (0.005, 10.0)
_CAMERA = (518.857901, 519.469611, 325.582449, 253.736166)
_CAMERA_SIZE = (480, 640)
_UNIT_M = 1e-3


class _Images:
    """The images of a folder."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path, 'nyu')
        self._images = self._folder.files('*/rgb_*.jpg', '*/rgb_*.png')
        self._depths = [p.with_name(f'sync_depth_{p.stem[4:]}.png') for p in self._images]
        self._folder.required(self._depths)
        self.ids = [str(p.relative_to(path).with_suffix('')) for p in self._images]

    def load(self, index: int) -> Item:
        """Read an image."""
        folder, path = self._folder, self._images[index]
        image = folder.image(path)
        folder.same_size(path, image, _CAMERA_SIZE)
        raw = folder.values(self._depths[index], np.uint16, _CAMERA_SIZE)
        depth = within(raw.astype(np.float32) * np.float32(_UNIT_M), *_RANGE_M)
        camera = folder.camera(path, _CAMERA_SIZE, _CAMERA)
        return Item(self.ids[index], image, cropped(depth, _ROWS, _COLUMNS), camera)


BENCHMARK = Benchmark(
    name='nyu',
    title='NYU Depth V2',
    layout=_LAYOUT,
    open=_Images,
    images=654,
    tasks=(*sampled_tasks(), *block_tasks()),
    tables=(sampled_table('nyu'), block_table('nyu')),
    choices=(
        'Images are 640x480 and whole; depth counts between 0.005 and 10 m (excluded) within '
        'rows 45 to 470 and columns 41 to 600, for prompts as for figures.',
        'Intrinsics are those of the toolbox of the data set.',
        *SAMPLER_CHOICES,
        *BLOCK_CHOICES,
    ),
)
