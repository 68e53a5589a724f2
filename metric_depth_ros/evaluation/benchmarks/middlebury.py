# SPDX-License-Identifier: Apache-2.0
"""Middlebury Stereo 2014: depth of the left image from disparity by structured light."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.evaluation.benchmarks.families import METRIC, metric_score, metric_table
from metric_depth_ros.evaluation.benchmarks.layout import Folder, within
from metric_depth_ros.evaluation.benchmarks.protocol import Benchmark, Item, Task
from metric_depth_ros.untrusted_files import read_text

_LAYOUT = """\
DIR/SCENE/im0.png      left image
DIR/SCENE/disp0.pfm    its disparity in pixels, inf = none (disp0GT.pfm of the training sets too)
DIR/SCENE/calib.txt    cam0=[f 0 cx; 0 f cy; 0 0 1], doffs=, baseline= (mm)
The scenes of the 2014 data sets, in full resolution (F) or any other."""
_RANGE_M = (0.001, 10.0)


class _Images:
    """The left images of a folder."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path, 'middlebury')
        self._images = self._folder.files('*/im0.png')
        self._disparities = [_disparity_file(p.parent) for p in self._images]
        self._folder.required(self._disparities)
        self._folder.required(p.with_name('calib.txt') for p in self._images)
        self.ids = [p.parent.name for p in self._images]

    def load(self, index: int) -> Item:
        """Read an image."""
        folder, path = self._folder, self._images[index]
        image = folder.image(path)
        size = image.shape[:2]
        disparity = self._pfm(self._disparities[index], size)
        calibration = path.with_name('calib.txt')
        text = read_text(calibration, 'benchmark_layout')
        cam0 = self._numbers(calibration, text, 'cam0', 9)
        (offset,), (baseline,) = (
            self._numbers(calibration, text, key, 1) for key in ('doffs', 'baseline')
        )
        with np.errstate(divide='ignore', invalid='ignore'):
            depth = (1e-3 * baseline * cam0[0] / (disparity + offset)).astype(np.float32)
        depth[~(np.isfinite(disparity) & (disparity > 0.0))] = np.nan
        camera = folder.camera(calibration, size, [cam0[i] for i in (0, 4, 2, 5)])
        return Item(self.ids[index], image, within(depth, *_RANGE_M), camera)

    def _numbers(self, path: Path, text: str, key: str, count: int) -> list[float]:
        found = re.search(rf'^{key}\s*=\s*\[?([-+.\deE;\s]+?)\]?\s*$', text, re.MULTILINE)
        try:
            numbers = [float(v) for v in found[1].replace(';', ' ').split()] if found else []
        except ValueError:
            numbers = []
        if len(numbers) != count:
            raise self._folder.fault(path, f'has no line {key}= with {count} numbers')
        return numbers

    def _pfm(self, path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
        data = path.read_bytes()
        header = re.match(rb'Pf\s+(\d+)\s+(\d+)\s+([-+.\deE]+)\s', data[:100])
        if header is None:
            raise self._folder.fault(path, 'does not begin as a PFM with one channel (Pf)')
        width, height = int(header[1]), int(header[2])
        order = '<' if float(header[3]) < 0.0 else '>'
        if (height, width) != size or len(data) - header.end() != 4 * width * height:
            raise self._folder.fault(
                path,
                f'claims {width}x{height} in {len(data)} bytes, its image is {size[1]}x{size[0]}',
            )
        rows = np.frombuffer(data, f'{order}f4', width * height, header.end())
        return rows.reshape(size)[::-1].astype(np.float32)  # a PFM begins at the bottom


def _disparity_file(scene: Path) -> Path:
    other = scene / 'disp0GT.pfm'
    return other if other.is_file() else scene / 'disp0.pfm'


BENCHMARK = Benchmark(
    name='middlebury',
    title='Middlebury Stereo 2014',
    layout=_LAYOUT,
    open=_Images,
    images=0,
    tasks=(Task(METRIC, score=metric_score),),
    tables=metric_table('middlebury'),
    choices=(
        'All scenes that are there; which scenes and which resolution the table is over was not '
        'published.',
        'Metric depth counts between 0.001 and 10 m, mean over images; caps and aggregation of '
        'the table were not published.',
    ),
)
