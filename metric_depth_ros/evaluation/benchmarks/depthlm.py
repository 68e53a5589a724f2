# SPDX-License-Identifier: Apache-2.0
"""DepthLMBench: distance of 8192 random points a data set, delta1 over points."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
from metric_depth_ros.untrusted_files import inside

_LAYOUT = """\
DIR/NAME/NAME_val.jsonl    one image a line: image (relative to DIR/NAME), intrinsics
                           [fx, fy, cx, cy], pixel_coords [[u, v], ...], depth [d, ...] (distance
                           from the camera, m)
DIR/NAME/...               the images
NAME holds argoverse, ddad, nuscenes, eth3d, scannet, sun, ibims or nyu; any of them may be
missing. As the release of DepthLM prepares them."""
_DATA_SETS = {
    'argoverse': 'Argoverse 2',
    'ddad': 'DDAD',
    'nuscenes': 'nuScenes',
    'eth3d': 'ETH3D',
    'scannet': 'ScanNet++',
    'sun': 'SUN RGB-D',
    'ibims': 'iBims-1',
    'nyu': 'NYU',
}
_SAMPLES, _SEED = 8192, 42
_SCANNET, _SCANNET_FROM = 'ScanNet++', 0.98


class _Images:
    """The images of which points were drawn."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path, 'depthlm')
        self._drawn: list[tuple[Path, dict, list[int]]] = []
        self.ids: list[str] = []
        for listing in self._folder.files('*/*.jsonl'):
            name = data_set_of(self._folder, listing, _DATA_SETS)
            records = evaluated(name, read_list(self._folder, listing, ('intrinsics',)))
            for i, points in sorted(drawn_points(records).items()):
                self._drawn.append((listing, records[i], points))
                self.ids.append(f'{name}/{i:06d}')
        self._folder.required(self._image(listing, r) for listing, r, _ in self._drawn)

    def _image(self, listing: Path, record: dict) -> Path:
        return inside(listing.parent, str(record['image']).lstrip('/'), 'benchmark_layout')

    def load(self, index: int) -> Item:
        """Read an image."""
        folder = self._folder
        listing, record, drawn = self._drawn[index]
        image = folder.image(self._image(listing, record))
        size = image.shape[:2]
        fx, fy, cx, cy = (float(v) for v in record['intrinsics'][:4])
        camera = folder.camera(listing, size, (fx or fy, fy or fx, cx, cy))
        points = points_of(folder, listing, record, size)[drawn]
        return Item(
            self.ids[index], image, np.full(size, np.nan, np.float32), camera, points=points
        )


def evaluated(name: str, records: list[dict]) -> list[dict]:
    """Return the records of a data set that the published evaluation takes, in its order."""
    if name != _SCANNET:
        return records
    last = records[int(_SCANNET_FROM * len(records)) :]
    random.Random(_SEED).shuffle(last)
    return last


def drawn_points(records: list[dict]) -> dict[int, list[int]]:
    """Return which points of which image are drawn, in the order of the published evaluation."""
    draw = random.Random(_SEED)
    per_image = len(records[0]['pixel_coords'])
    drawn: dict[int, list[int]] = {}
    for sample in range(min(_SAMPLES, len(records) * per_image)):
        (point,) = draw.sample(range(per_image), 1)
        image = sample % len(records)
        if point < len(records[image]['depth']):
            drawn.setdefault(image, []).append(point)
    return drawn


def _score(estimate: DepthEstimate, item: Item) -> Score:
    """Compare distances from the camera, which is what the benchmark asks for."""
    assert item.camera is not None  # every record has one
    column, row = item.points[:, :2].astype(np.intp).T
    ray = item.camera.pixel_to_normalized(item.points[:, :2])
    length = np.sqrt(1.0 + (ray**2).sum(axis=1))
    distance: NDArray[np.float64] = estimate.depth[row, column] * length
    sums = error_sums(distance, item.points[:, 2])
    return Score(sums.metrics(), sums)


def _is_of(name: str, item_id: str) -> bool:
    return item_id.startswith(f'{name}/')


BENCHMARK = Benchmark(
    name='depthlm',
    title='DepthLMBench, points',
    layout=_LAYOUT,
    open=_Images,
    images=0,
    tasks=tuple(
        Task(name, score=_score, includes=partial(_is_of, name)) for name in _DATA_SETS.values()
    ),
    tables=(
        Table(
            'DepthLM: δ1 of points',
            tuple(
                Column(name, name, 'delta1', statistic='pooled') for name in _DATA_SETS.values()
            ),
            published.rows(published.DEPTHLM_POINTS),
        ),
    ),
    choices=(
        f'{_SAMPLES} samples a data set, drawn as in the published evaluation with seed {_SEED}; '
        'the last 2 % of ScanNet++; a point may be drawn twice and counts twice.',
        'Depth of the estimator at the pixel, turned into the distance from the camera; no '
        'marker is painted, so points near the border are not skipped.',
    ),
)
