# SPDX-License-Identifier: Apache-2.0
"""DepthVLM-Bench: depth of ten points an image, delta1 over images."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np

from metric_depth_ros.evaluation.benchmarks import published
from metric_depth_ros.evaluation.benchmarks.layout import Folder
from metric_depth_ros.evaluation.benchmarks.point_lists import data_set_of, points_of, read_list
from metric_depth_ros.evaluation.benchmarks.protocol import (
    Benchmark,
    Column,
    Item,
    Score,
    Table,
    Task,
)
from metric_depth_ros.evaluation.metrics import error_sums
from metric_depth_ros.types import DepthEstimate
from metric_depth_ros.untrusted_files import inside, read_picture

_LAYOUT = """\
DIR/*.jsonl    one image a line: image and depth_path (relative to DIR), depth_scale (units a
               meter), original_fx, canonical_size [w, h], pixel_coords [[u, v], ...] in the image,
               depth [d, ...] along the optical axis, m
DIR/...        the images, and their depth as 16-bit PNG
A list's name holds argoverse, waymo, ddad, nuscenes, eth3d, scannet, sun, ibims or nyu; any of
them may be missing. As the release of DepthVLM-Bench prepares them."""
_DATA_SETS = {
    'argoverse': 'Argoverse 2',
    'waymo': 'Waymo',
    'ddad': 'DDAD',
    'nuscenes': 'nuScenes',
    'eth3d': 'ETH3D',
    'scannet': 'ScanNet++',
    'sun': 'SUN RGB-D',
    'ibims': 'iBims-1',
    'nyu': 'NYU',
}
_FOCAL_PX = 1000.0
_KEYS = ('depth_path', 'depth_scale', 'original_fx', 'canonical_size')


class _Images:
    """The images of all lists."""

    def __init__(self, path: Path) -> None:
        self._folder, self._path = Folder(path, 'depthvlm'), path
        self._records: list[tuple[Path, dict]] = []
        self.ids: list[str] = []
        for listing in self._folder.files('*.jsonl'):
            name = data_set_of(self._folder, listing, _DATA_SETS)
            for i, record in enumerate(read_list(self._folder, listing, _KEYS)):
                self._records.append((listing, record))
                self.ids.append(f'{name}/{i:06d}')
        for _, record in self._records:
            self._folder.required((self._file(record, 'image'), self._file(record, 'depth_path')))

    def _file(self, record: dict, key: str) -> Path:
        return inside(self._path, str(record[key]), 'benchmark_layout')

    def load(self, index: int) -> Item:
        """Read an image, resized to a focal length of 1000 px as the benchmark does."""
        folder = self._folder
        listing, record = self._records[index]
        original = folder.image(self._file(record, 'image'))
        points = points_of(folder, listing, record, original.shape[:2])
        width, height = (int(v) for v in record['canonical_size'])
        image = cv2.resize(original, (width, height), interpolation=cv2.INTER_LINEAR)
        stored = read_picture(self._file(record, 'depth_path'), cv2.IMREAD_UNCHANGED)
        depth = cv2.resize(
            stored.astype(np.float32) / np.float32(record['depth_scale']),
            (width, height),
            interpolation=cv2.INTER_NEAREST,
        )
        ratio = np.array((width / original.shape[1], height / original.shape[0]))
        points[:, :2] = np.rint(points[:, :2] * ratio)
        points = points[(points[:, :2] < (width, height)).all(axis=1)]  # as published
        column, row = points[:, :2].astype(np.intp).T
        there = depth[row, column]
        points[:, 2] = np.where(there > 0.0, there, points[:, 2])
        K = (_FOCAL_PX, _FOCAL_PX, 0.5 * (width - 1), 0.5 * (height - 1))
        camera = folder.camera(listing, (height, width), K)
        return Item(self.ids[index], image, depth, camera, points=points)


def _score(estimate: DepthEstimate, item: Item) -> Score:
    """Score points; those without a usable prediction are wrong, or left out as published."""
    column, row = item.points[:, :2].astype(np.intp).T
    predicted = estimate.depth[row, column].astype(np.float64)
    truth = np.where(item.points[:, 2] > 0.0, item.points[:, 2], np.nan)
    sums = error_sums(predicted, truth)
    with np.errstate(invalid='ignore'):
        usable = predicted > 0.0
    left = error_sums(predicted, truth, usable).metrics()['delta1']
    published_delta1 = 0.0 if np.isnan(left) else left
    return Score({**sums.metrics(), 'delta1_published': published_delta1}, sums)


def _is_of(name: str, item_id: str) -> bool:
    return item_id.startswith(f'{name}/')


BENCHMARK = Benchmark(
    name='depthvlm',
    title='DepthVLM-Bench, points',
    layout=_LAYOUT,
    open=_Images,
    images=0,
    tasks=tuple(
        Task(name, score=_score, includes=partial(_is_of, name)) for name in _DATA_SETS.values()
    ),
    tables=(
        Table(
            'DepthVLM: δ1 of points',
            tuple(Column(name, name, 'delta1_published') for name in _DATA_SETS.values()),
            published.rows(published.DEPTHVLM_POINTS),
            'As published, points without a positive prediction are left out, and an image of '
            'which all are counts 0; the figure delta1 counts them as wrong.',
        ),
    ),
    choices=(
        'Images and depth are resized to a focal length of 1000 px first, the image bilinearly '
        'by OpenCV; points that rounding moves out of it are dropped; ground truth of a point is '
        'the resized map there, or the value of the list.',
        'The principal point, which the lists do not have, is the middle of the image.',
    ),
)
