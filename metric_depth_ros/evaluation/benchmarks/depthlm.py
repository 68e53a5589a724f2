# SPDX-License-Identifier: Apache-2.0
"""DepthLMBench: distance of 8192 random points a data set, delta1 over points."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.evaluation.benchmarks import published
from metric_depth_ros.evaluation.benchmarks.layout import Folder
from metric_depth_ros.evaluation.benchmarks.point_lists import (
    WORDS,
    Listed,
    lists_of,
    points_of,
    tasks_of,
)
from metric_depth_ros.evaluation.benchmarks.protocol import (
    Benchmark,
    Column,
    Item,
    Score,
    Table,
)
from metric_depth_ros.evaluation.depthlm_protocol import point_order, record_order, served
from metric_depth_ros.evaluation.metrics import error_sums
from metric_depth_ros.networks.depthlm_images import MARKER_PX, UnifiedImage, unify_unseen
from metric_depth_ros.types import CameraModel, DepthEstimate
from metric_depth_ros.untrusted_files import inside

_LAYOUT = """\
DIR/NAME/NAME_val.jsonl    one image a line: image (relative to DIR/NAME), intrinsics
                           [fx, fy, cx, cy], pixel_coords [[u, v], ...], depth [d, ...] (distance
                           from the camera, m)
DIR/NAME/...               the images
NAME holds argoverse, ddad, nuscenes, eth3d, scannet, sun, ibims or nyu; any of them may be
missing. As the release of DepthLM prepares them."""
_DATA_SETS = tuple(name for name in WORDS if name != 'Waymo')
_SCANNET = 'ScanNet++'
_SAMPLES = 8192
_FOCAL_PX = 750.0  # at which the released model, and the published evaluation, see images


class _Images:
    """The images of which points were drawn."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path, 'depthlm')
        self._drawn: list[tuple[Listed, dict, list[int]]] = []
        self.ids: list[str] = []
        for listed in lists_of(self._folder, '*/*_val.jsonl', _DATA_SETS, ('intrinsics',)):
            records = [
                listed.records[i]
                for i in record_order(len(listed.records), scannet=listed.data_set == _SCANNET)
            ]
            drawn = drawn_points(records, Markable(partial(self._checked_size, listed)))
            for i, points in sorted(drawn.items()):
                self._drawn.append((listed, records[i], points))
            self.ids += listed.ids(sorted(drawn))

    def _image(self, listed: Listed, record: dict) -> Path:
        folder = listed.path.parent
        return inside(folder, str(record['image']).lstrip('/'), 'benchmark_layout')

    def _checked_size(self, listed: Listed, record: dict) -> tuple[int, int]:
        """Return (width, height) of an image that is there, with points and camera to go by."""
        folder = self._folder
        width, height = folder.picture_size(self._image(listed, record))
        points_of(folder, listed.path, record, (height, width))
        self._camera(listed, record, (height, width))
        return width, height

    def _camera(self, listed: Listed, record: dict, size: tuple[int, int]) -> CameraModel:
        try:
            fx, fy, cx, cy = intrinsics_of(record)
        except (TypeError, ValueError) as error:
            raise self._folder.fault(
                listed.path, f'has intrinsics {record["intrinsics"]!r}, expected fx, fy, cx, cy'
            ) from error
        return self._folder.camera(listed.path, size, (fx or fy, fy or fx, cx, cy))

    def load(self, index: int) -> Item:
        """Read an image."""
        folder = self._folder
        listed, record, drawn = self._drawn[index]
        image = folder.image(self._image(listed, record))
        size = image.shape[:2]
        camera = self._camera(listed, record, size)
        points = points_of(folder, listed.path, record, size)[drawn]
        return Item(
            self.ids[index], image, np.full(size, np.nan, np.float32), camera, points=points
        )


class Markable:
    """Whether there is room for the arrow of the published evaluation at a point.

    Parameters
    ----------
    size_of
        Returns (width, height) of the image of a record.
    """

    def __init__(self, size_of: Callable[[dict], tuple[int, int]]) -> None:
        self._size_of = size_of
        self._seen: dict[int, UnifiedImage] = {}

    def __call__(self, image: int, record: dict, point: int) -> bool:
        """Answer for a point of a record, which is the list's number `image`."""
        if image not in self._seen:
            size = self._size_of(record)
            self._seen[image] = unify_unseen(size, intrinsics_of(record), _FOCAL_PX)
        seen = self._seen[image]
        return seen.can_be_marked(seen.pixel(record['pixel_coords'][point]))


def intrinsics_of(record: dict) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy of a record."""
    fx, fy, cx, cy = (float(v) for v in record['intrinsics'][:4])
    return fx, fy, cx, cy


def drawn_points(
    records: list[dict], markable: Callable[[int, dict, int], bool]
) -> dict[int, list[int]]:
    """Return which points of which image are drawn, in the order of the published evaluation.

    A sample whose point cannot be marked is replaced by the next one that can, which then counts
    twice, as published. Samples of points that an image does not have are dropped.
    """
    per_image = len(records[0]['pixel_coords'])
    samples = len(records) * per_image
    points = list(islice(point_order(per_image), samples))

    def can_be_marked(sample: int) -> bool:
        image = sample % len(records)
        record = records[image]
        return points[sample] < len(record['depth']) and markable(image, record, points[sample])

    drawn: dict[int, list[int]] = {}
    for due in range(min(_SAMPLES, samples)):
        sample = served(due, samples, can_be_marked)
        drawn.setdefault(sample % len(records), []).append(points[sample])
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


BENCHMARK = Benchmark(
    name='depthlm',
    title='DepthLMBench, points',
    layout=_LAYOUT,
    open=_Images,
    images=0,
    tasks=tasks_of(_DATA_SETS, _score),
    tables=(
        Table(
            'DepthLM: δ1 of points',
            tuple(Column(name, name, 'delta1', statistic='pooled') for name in _DATA_SETS),
            published.rows(published.DEPTHLM_POINTS),
        ),
    ),
    choices=(
        f'{_SAMPLES} samples a data set, drawn as in the published evaluation with seed 42; the '
        'last 2 % of ScanNet++; a point may be drawn twice and counts twice.',
        f'A point less than {MARKER_PX} pixels from the border of the image at a focal length of '
        f'{_FOCAL_PX:g} px cannot be marked and is replaced by the next sample, which then counts '
        'twice, as published; for whichever estimator, so that all answer the same points.',
        'Depth of the estimator at the pixel, turned into the distance from the camera: in single '
        'precision, so that an answer of exactly 1.25 times the truth, which is wrong as '
        'published, may count as right. Answers of the estimator depthlm are read strictly, one '
        'positive number in <answer>, not by Math-Verify as published; those that state none '
        'count as wrong. It is cut after 96 tokens, in which the one sentence and number that it '
        'was trained to say have room; the published evaluation lets it speak for 4096.',
    ),
)
