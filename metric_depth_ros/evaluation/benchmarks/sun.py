# SPDX-License-Identifier: Apache-2.0
"""SUN RGB-D: rooms seen by four depth cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metric_depth_ros.evaluation.benchmarks.families import METRIC, metric_score, metric_table
from metric_depth_ros.evaluation.benchmarks.layout import Folder, within
from metric_depth_ros.evaluation.benchmarks.protocol import Benchmark, Item, Task
from metric_depth_ros.untrusted_files import inside, read_text

_LIST = 'test.txt'
_LAYOUT = f"""\
DIR/{_LIST}                     folders of the test split, one a line: SUNRGBD/kv1/NYUdata/NYU0001
DIR/FOLDER/image/*.jpg           one color image
DIR/FOLDER/depth/*.png           16-bit PNG as the toolbox stores it: bits turned left by 3, mm
DIR/FOLDER/intrinsics.txt        9 numbers, row by row
The archive SUNRGBD, unpacked; the list from allsplit.mat of the toolbox (alltest)."""
_RANGE_M = (0.001, 10.0)


class _Images:
    """The images of a list."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path, 'sun')
        listing = path / _LIST
        self._folder.required([listing])
        self.ids = read_text(listing, 'benchmark_layout').split()
        if not self.ids:
            raise self._folder.fault(listing, 'names no folder')
        self._files = [self._found(inside(path, name, 'benchmark_layout')) for name in self.ids]

    def _found(self, folder: Path) -> tuple[Path, Path, Path]:
        found = []
        for pattern in ('image/*.jpg', 'depth/*.png'):
            files = sorted(folder.glob(pattern))
            if len(files) != 1:
                raise self._folder.fault(
                    folder / pattern, f'matches {len(files)} files, expected one'
                )
            found.append(files[0])
        self._folder.required([folder / 'intrinsics.txt'])
        return found[0], found[1], folder / 'intrinsics.txt'

    def load(self, index: int) -> Item:
        """Read an image."""
        folder = self._folder
        picture, depth_path, calibration = self._files[index]
        image = folder.image(picture)
        size = image.shape[:2]
        stored = folder.values(depth_path, np.uint16, size)
        depth = ((stored >> 3) | (stored << 13)).astype(np.float32) * np.float32(1e-3)
        numbers = folder.numbers(calibration, 9)
        camera = folder.camera(calibration, size, [numbers[i] for i in (0, 4, 2, 5)])
        return Item(self.ids[index], image, within(depth, *_RANGE_M), camera)


BENCHMARK = Benchmark(
    name='sun',
    title='SUN RGB-D, test split',
    layout=_LAYOUT,
    open=_Images,
    images=5050,
    tasks=(Task(METRIC, score=metric_score),),
    tables=metric_table('sun'),
    choices=(
        'Raw depth of the sensors between 0.001 and 10 m, mean over images; image list, caps '
        'and aggregation of the table were not published.',
    ),
)
