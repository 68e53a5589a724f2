# SPDX-License-Identifier: Apache-2.0
"""ETH3D: the high-resolution multi-view training scenes, depth of a laser scanner."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.evaluation.benchmarks import published
from metric_depth_ros.evaluation.benchmarks.colmap import Scene, read_scene
from metric_depth_ros.evaluation.benchmarks.families import (
    FOV_CHOICE,
    fov_table,
    geometry_tables,
    geometry_tasks,
    metric_table,
    metric_task,
    sampled_table,
    sampled_tasks,
)
from metric_depth_ros.evaluation.benchmarks.layout import Folder, within
from metric_depth_ros.evaluation.benchmarks.moge_view import MOGE_CHOICES
from metric_depth_ros.evaluation.benchmarks.prompts import SAMPLER_CHOICES, measured
from metric_depth_ros.evaluation.benchmarks.protocol import Benchmark, Column, Item, Table, Task
from metric_depth_ros.types import CameraModel, SparsePrompt

_LAYOUT = """\
DIR/SCENE/images/dslr_images/NAME.JPG               color image, 6048x4032 or nearly
DIR/SCENE/ground_truth_depth/dslr_images/NAME.JPG   float32 meters of its size, row by row, no
                                                    header, inf = none
DIR/SCENE/dslr_calibration_jpg/cameras.txt          of COLMAP
DIR/SCENE/dslr_calibration_jpg/images.txt           with the points that each image sees
DIR/SCENE/dslr_calibration_jpg/points3D.txt
The archives SCENE_dslr_jpg and SCENE_dslr_depth of the 13 training scenes, unpacked together."""
_SFM = 'keypoints'
_RANGE_M = (0.1, 200.0)
_CUT = (3840, 5120)  # rows, columns around the center
_CELL = 8  # pixels of the original a pixel of the small images
_INDOOR = ('delivery_area', 'kicker', 'office', 'pipes', 'relief', 'relief_2', 'terrains')
_OUTDOOR = ('courtyard', 'electro', 'facade', 'meadow', 'playground', 'terrace')


class _Images:
    """The images of a folder."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path, 'eth3d')
        self._images = self._folder.files(
            '*/images/dslr_images/*.JPG', '*/images/dslr_images/*.jpg'
        )
        self._depths = [
            p.parents[2] / 'ground_truth_depth' / 'dslr_images' / p.name for p in self._images
        ]
        scenes = dict.fromkeys(p.parents[2] for p in self._images)
        for scene in scenes:
            parts = ('cameras.txt', 'images.txt', 'points3D.txt')
            self._folder.required(scene / 'dslr_calibration_jpg' / part for part in parts)
        self._folder.required(self._depths)
        self.ids = [f'{p.parents[2].name}/{p.stem}' for p in self._images]
        self._scene = lru_cache(maxsize=1)(read_scene)  # images come scene by scene

    def load(self, index: int) -> Item:
        """Read an image."""
        folder, path = self._folder, self._images[index]
        image = folder.image(path)
        size = image.shape[:2]
        depth = within(self._depth(self._depths[index], size), 0.0, np.inf)
        scene: Scene = self._scene(path.parents[2] / 'dslr_calibration_jpg')
        seen = scene.view(path.name)
        camera = folder.camera(scene.folder / 'cameras.txt', size, seen.K)
        return Item(self.ids[index], image, depth, camera, {_SFM: seen.points})

    def _depth(self, path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
        wanted = size[0] * size[1] * 4
        if path.stat().st_size != wanted:
            raise self._folder.fault(
                path,
                f'has {path.stat().st_size} bytes, expected {wanted} for float32 of '
                f'{size[1]}x{size[0]}',
            )
        return np.fromfile(path, '<f4').reshape(size).astype(np.float32, copy=False)


def _small(item: Item) -> Item:
    """Cut the middle and make it 8 times smaller, depth by the mean of what each cell has."""
    height, width = item.depth.shape
    rows, columns = (
        min(cut, side) // _CELL * _CELL for cut, side in zip(_CUT, (height, width), strict=True)
    )
    top, left = (height - rows) // 2, (width - columns) // 2
    part = (slice(top, top + rows), slice(left, left + columns))
    size = columns // _CELL, rows // _CELL
    image = cv2.resize(item.image[part], size, interpolation=cv2.INTER_AREA)
    cells = item.depth[part].reshape(size[1], _CELL, size[0], _CELL).swapaxes(1, 2)
    known = np.isfinite(cells)
    count = known.sum(axis=(2, 3))
    total = np.where(known, cells, 0.0).sum(axis=(2, 3), dtype=np.float64)
    depth = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    points = _shifted(item.prompts[_SFM], left, top, size)
    camera = None if item.camera is None else _small_camera(item.camera, left, top, size)
    return Item(item.id, image, depth, camera, {_SFM: points})


def _small_camera(camera: CameraModel, left: int, top: int, size: tuple[int, int]) -> CameraModel:
    K = camera.K
    cx, cy = ((K[0, 2] - left + 0.5) / _CELL - 0.5, (K[1, 2] - top + 0.5) / _CELL - 0.5)
    return CameraModel.pinhole(*size, K[0, 0] / _CELL, K[1, 1] / _CELL, cx, cy)


def _shifted(points: SparsePrompt, left: int, top: int, size: tuple[int, int]) -> SparsePrompt:
    cell = np.floor((points.uv + 0.5 - np.array((left, top))) / _CELL)
    inside = ((cell >= 0) & (cell < np.array(size))).all(axis=1)
    return SparsePrompt(
        cell[inside].astype(np.float32),
        points.depth[inside],
        points.sigma[inside],
        points.source[inside],
    )


def _indoor(item_id: str) -> bool:
    return item_id.partition('/')[0] in _INDOOR


def _outdoor(item_id: str) -> bool:
    return item_id.partition('/')[0] in _OUTDOOR


def _sfm_columns(part: str) -> tuple[Column, ...]:
    kinds = (('RMSE m', 'rmse_m'), ('MAE m', 'mae_m'), ('REL', 'abs_rel'), ('δ1', 'delta1'))
    return tuple(Column(f'{part} {h}', f'{_SFM} {part}', key) for h, key in kinds)


BENCHMARK = Benchmark(
    name='eth3d',
    title='ETH3D, high-resolution multi-view',
    layout=_LAYOUT,
    open=_Images,
    images=454,
    tasks=(
        *sampled_tasks(_small),
        Task(f'{_SFM} indoor', measured(_SFM), _small, includes=_indoor),
        Task(f'{_SFM} outdoor', measured(_SFM), _small, includes=_outdoor),
        *geometry_tasks(2048, 1365),
        metric_task(*_RANGE_M),
    ),
    tables=(
        sampled_table('eth3d'),
        Table(
            'LingBot-Depth: sparse structure from motion',
            (*_sfm_columns('indoor'), *_sfm_columns('outdoor')),
            published.rows(published.SPARSE_SFM),
            'The published rows are means over their own lists of test scenes.',
        ),
        *geometry_tables('eth3d'),
        fov_table('eth3d'),
        *metric_table('eth3d'),
    ),
    choices=(
        'Prompts (sampled, keypoints): the middle 5120x3840 pixels, 8 times smaller; image by '
        'the mean of each cell, depth by the mean of its known pixels; keypoints of COLMAP at '
        'their pixel of the small image, depth from their 3-D point and the pose of the image. '
        'Table 1 does not say how it prepares ETH3D; the preparation of OMNI-DC is taken.',
        'Indoor and outdoor are all training scenes of either kind.',
        'The lens distortion of the images is not removed; their pinhole part is the camera.',
        'Metric depth counts between 0.1 and 200 m at full resolution, mean over images; caps '
        'and aggregation of the table were not published.',
        *MOGE_CHOICES,
        FOV_CHOICE,
        *SAMPLER_CHOICES,
    ),
)
