# SPDX-License-Identifier: Apache-2.0
"""MPI Sintel: the training sequences with rendered depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.evaluation.benchmarks.families import (
    boundary_table,
    boundary_task,
    metric_table,
    metric_task,
)
from metric_depth_ros.evaluation.benchmarks.layout import Folder, within
from metric_depth_ros.evaluation.benchmarks.protocol import Benchmark, Item

_LAYOUT = """\
DIR/training/final/SEQUENCE/frame_NUMBER.png           color image
DIR/training/depth/SEQUENCE/frame_NUMBER.dpt           float32 tag 202021.25, int32 width and
                                                       height, float32 meters row by row
DIR/training/camdata_left/SEQUENCE/frame_NUMBER.cam    float32 tag, 9 float64 of K, 12 of the pose
The archives of images, depth and camera motion, unpacked together."""
_TAG = 202021.25
_RANGE_M = (0.01, 80.0)


class _Images:
    """The images of a folder."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path, 'sintel')
        self._images = self._folder.files('training/final/*/frame_*.png')
        for image in self._images:
            self._folder.required(_parts(image))
        self.ids = [f'{p.parent.name}/{p.stem}' for p in self._images]

    def load(self, index: int) -> Item:
        """Read an image."""
        folder, path = self._folder, self._images[index]
        depth_path, camera_path = _parts(path)
        image = folder.image(path)
        size = image.shape[:2]
        depth = within(self._depth(depth_path, size), 0.0, np.inf)
        data = self._tagged(camera_path)
        if len(data) != 4 + 8 * 21:
            raise folder.fault(camera_path, f'has {len(data)} bytes, expected {4 + 8 * 21}')
        K = np.frombuffer(data, '<f8', 9, 4).reshape(3, 3)
        camera = folder.camera(camera_path, size, [K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
        return Item(self.ids[index], image, depth, camera)

    def _tagged(self, path: Path) -> bytes:
        data = path.read_bytes()
        if len(data) < 12 or np.frombuffer(data, '<f4', 1)[0] != np.float32(_TAG):
            raise self._folder.fault(path, f'does not begin with the tag {_TAG}')
        return data

    def _depth(self, path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
        data = self._tagged(path)
        width, height = np.frombuffer(data, '<i4', 2, 4)
        if (height, width) != size or len(data) != 12 + 4 * size[0] * size[1]:
            raise self._folder.fault(
                path,
                f'claims {width}x{height} in {len(data)} bytes, its image is {size[1]}x{size[0]}',
            )
        return np.frombuffer(data, '<f4', size[0] * size[1], 12).reshape(size).astype(np.float32)


def _parts(image: Path) -> tuple[Path, Path]:
    root, sequence = image.parents[2], image.parent.name
    return (
        root / 'depth' / sequence / f'{image.stem}.dpt',
        root / 'camdata_left' / sequence / f'{image.stem}.cam',
    )


BENCHMARK = Benchmark(
    name='sintel',
    title='MPI Sintel, training sequences',
    layout=_LAYOUT,
    open=_Images,
    images=1064,
    tasks=(metric_task(*_RANGE_M), boundary_task()),
    tables=(*metric_table('sintel'), boundary_table('sintel')),
    choices=(
        'The final pass; which one the tables are over was not published.',
        'Metric depth counts between 0.01 and 80 m, mean over images; caps and aggregation of '
        'the table were not published.',
        'Boundary F1 over all depth, camera given.',
    ),
)
