# SPDX-License-Identifier: Apache-2.0
"""DepthVLM-Bench: depth of ten points an image, or of all its pixels, delta1 over images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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
from metric_depth_ros.evaluation.depthvlm_protocol import (
    RANGES,
    canonical_points,
    canonical_truth,
    delta1,
    dense_delta1,
    truth_at,
)
from metric_depth_ros.evaluation.metrics import error_sums
from metric_depth_ros.types import DepthEstimate
from metric_depth_ros.untrusted_files import inside

_LAYOUT = """\
DIR/*.jsonl    one image a line: image and depth_path (relative to DIR), depth_scale (units a
               meter), original_fx, canonical_size [w, h], pixel_coords [[u, v], ...] in the image,
               depth [d, ...] along the optical axis, m
               (iBims-1 also mask_valid_path and mask_transp_path, 0 where depth does not count)
DIR/...        the images, and their depth as 16-bit PNG
A list's name holds argoverse, waymo, ddad, nuscenes, eth3d, scannet, sun, ibims or nyu; any of
them may be missing. As the release of DepthVLM-Bench prepares them."""
_DATA_SETS = tuple(WORDS)
_RANGES = {
    'Argoverse 2': RANGES['argoverse'],
    'Waymo': RANGES['waymo'],
    'DDAD': RANGES['ddad'],
    'nuScenes': RANGES['nuscenes'],
    'ETH3D': RANGES['eth3d'],
    'ScanNet++': RANGES['scannetpp'],
    'SUN RGB-D': RANGES['sunrgbd'],
    'iBims-1': RANGES['ibims'],
    'NYU': RANGES['nyuv2'],
}
_WHOLE = ', whole map'
_FOCAL_PX = 1000.0
_LARGEST_SIDE_PX = 16_384
_KEYS = ('depth_path', 'depth_scale', 'original_fx', 'canonical_size')
_MASKS = ('mask_valid_path', 'mask_transp_path')


class _Images:
    """The images of all lists."""

    def __init__(self, path: Path) -> None:
        self._folder, self._path = Folder(path, 'depthvlm'), path
        self._records: list[tuple[Listed, dict]] = []
        self.ids: list[str] = []
        for listed in lists_of(self._folder, '*.jsonl', _DATA_SETS, _KEYS):
            self._records += [(listed, record) for record in listed.records]
            self.ids += listed.ids(range(len(listed.records)))
        for _, record in self._records:
            keys = ('image', 'depth_path', *(key for key in _MASKS if record.get(key)))
            self._folder.required(self._file(record, key) for key in keys)

    def _file(self, record: dict, key: str) -> Path:
        return inside(self._path, str(record[key]), 'benchmark_layout')

    def load(self, index: int) -> Item:
        """Read an image, resized to a focal length of 1000 px as the benchmark does."""
        folder = self._folder
        listed, record = self._records[index]
        original = folder.image(self._file(record, 'image'))
        size = original.shape[1::-1]
        width, height = self._canonical_size(listed.path, record)
        whole = Image.fromarray(original)
        image = np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR))
        stored = folder.plane(self._file(record, 'depth_path'), np.uint16)
        depth = stored.astype(np.float32) / np.float32(self._depth_scale(listed.path, record))
        limits = _RANGES[listed.data_set]
        listed_points = points_of(folder, listed.path, record, original.shape[:2])
        pixels = canonical_points(listed_points[:, :2].tolist(), size, (width, height), limits)
        unmasked = canonical_truth(depth, (width, height), limits)
        truth = truth_at(pixels, unmasked, listed_points[:, 2].tolist())
        points = np.column_stack((pixels, truth)).astype(np.float64)
        masked = canonical_truth(depth, (width, height), limits, self._masks(record, depth.shape))
        K = (_FOCAL_PX, _FOCAL_PX, 0.5 * (width - 1), 0.5 * (height - 1))
        return Item(
            self.ids[index],
            image,
            np.where(masked > 0.0, masked, np.float32(np.nan)),
            folder.camera(listed.path, (height, width), K),
            points=points[(pixels < (width, height)).all(axis=1)],  # as published
        )

    def _canonical_size(self, path: Path, record: dict) -> tuple[int, int]:
        size = record['canonical_size']
        if not (isinstance(size, list) and len(size) == 2 and all(map(_is_side, size))):
            raise self._folder.fault(
                path,
                f'has canonical_size {size!r} at {record["image"]}, expected [w, h], each a whole '
                f'number from 1 to {_LARGEST_SIDE_PX}',
            )
        return int(size[0]), int(size[1])

    def _depth_scale(self, path: Path, record: dict) -> float:
        scale = record['depth_scale']
        limits = np.finfo(np.float32)
        if type(scale) not in (int, float) or not limits.tiny <= scale <= limits.max:
            raise self._folder.fault(
                path,
                f'has depth_scale {scale!r} at {record["image"]}, expected a positive number',
            )
        return float(scale)

    def _masks(self, record: dict, shape: tuple[int, ...]) -> list[NDArray[np.bool_]]:
        size = shape[0], shape[1]
        return [self._folder.mask(self._file(record, k), size) for k in _MASKS if record.get(k)]


def _is_side(value: object) -> bool:
    return type(value) in (int, float) and value in range(1, _LARGEST_SIDE_PX + 1)


def _score_points(estimate: DepthEstimate, item: Item) -> Score:
    """Score points; those without a usable prediction are wrong, or left out as published."""
    column, row = item.points[:, :2].astype(np.intp).T
    predicted, truth = estimate.depth[row, column], item.points[:, 2].astype(np.float32)
    sums = error_sums(predicted, np.where(truth > 0.0, truth, np.float32(np.nan)))
    return Score({**sums.metrics(), 'delta1_published': delta1(predicted, truth)}, sums)


def _score_map(estimate: DepthEstimate, item: Item) -> Score:
    """Score all pixels with ground truth, likewise."""
    sums = error_sums(estimate.depth, item.depth)
    published_delta1 = dense_delta1(estimate.depth, np.nan_to_num(item.depth))
    return Score({**sums.metrics(), 'delta1_published': published_delta1}, sums)


_AS_PUBLISHED = (
    'As published, {} without a positive prediction are left out, and an image of which all are '
    'counts 0; the figure delta1 counts them as wrong.'
)
BENCHMARK = Benchmark(
    name='depthvlm',
    title='DepthVLM-Bench, points and whole maps',
    layout=_LAYOUT,
    open=_Images,
    images=0,
    tasks=(
        *tasks_of(_DATA_SETS, _score_points),
        *tasks_of(_DATA_SETS, _score_map, _WHOLE, at_points=False),
    ),
    tables=(
        Table(
            'DepthVLM: δ1 of points',
            tuple(Column(name, name, 'delta1_published') for name in _DATA_SETS),
            published.rows(published.DEPTHVLM_POINTS),
            _AS_PUBLISHED.format('points'),
        ),
        Table(
            'DepthVLM: δ1 of whole maps',
            tuple(Column(name, f'{name}{_WHOLE}', 'delta1_published') for name in _DATA_SETS),
            published.rows(published.DEPTHVLM_MAPS),
            _AS_PUBLISHED.format('pixels'),
        ),
    ),
    choices=(
        'Images and depth are resized to a focal length of 1000 px first, the image bilinearly by '
        'Pillow, as published; points that rounding moves out of it are dropped; ground truth of '
        'a point is the resized map there, or the value of the list where that has none in the '
        'range of depth.',
        'The principal point, which the lists do not have, is the middle of the image.',
        'Points are looked up in depth of the size of the image; the published evaluation looks '
        "them up in the network's own grid, which is larger by its rounding to 32 pixels.",
        'Masks of iBims-1 count for whole maps only, as published; the figures of the other four '
        'data sets for whole maps are not published.',
    ),
)
