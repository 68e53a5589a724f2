# SPDX-License-Identifier: Apache-2.0
"""KITTI, Eigen's test split: depth from one image against accumulated scans."""

from __future__ import annotations

from pathlib import Path

from metric_depth_ros.evaluation.benchmarks.families import geometry_tables, geometry_tasks
from metric_depth_ros.evaluation.benchmarks.layout import Folder, cropped, within
from metric_depth_ros.evaluation.benchmarks.moge_view import MOGE_CHOICES
from metric_depth_ros.evaluation.benchmarks.protocol import (
    Benchmark,
    Column,
    Item,
    Score,
    Table,
    Task,
)
from metric_depth_ros.evaluation.metrics import error_sums
from metric_depth_ros.framesets.kitti_calibration import kitti_entries
from metric_depth_ros.framesets.stored_arrays import load_depth_map
from metric_depth_ros.types import CameraModel, DepthEstimate
from metric_depth_ros.untrusted_files import inside, read_text

_LIST = 'eigen_test_files_with_gt.txt'
_LAYOUT = f"""\
DIR/{_LIST}     lines "IMAGE TRUTH FOCAL", as BTS has them; TRUTH may be None
DIR/raw/IMAGE                        DATE/DRIVE_sync/image_02/data/NUMBER.png (or .jpg)
DIR/raw/DATE/calib_cam_to_cam.txt    of the raw data
DIR/gts/TRUTH                        DRIVE_sync/proj_depth/groundtruth/image_02/NUMBER.png,
                                     16-bit, m * 256, 0 = none
Raw data, and data_depth_annotated with train and val in one folder."""
_TASK = 'crops'
_RANGE_M = (0.05, 80.0)
_COLUMNS = (0.03594771, 0.96405229)
_CROPS = {'Garg': (0.40810811, 0.99189189), 'Eigen': (0.3324324, 0.91351351)}
_UNIT_M = 1.0 / 256.0


class _Images:
    """The images of a list that have ground truth."""

    def __init__(self, path: Path) -> None:
        self._folder, self._path = Folder(path, 'kitti_eigen'), path
        listing = path / _LIST
        self._folder.required([listing])
        self._files: list[tuple[Path, Path, Path]] = []
        for number, line in enumerate(read_text(listing, 'benchmark_layout').splitlines(), 1):
            words = line.split()
            if len(words) < 2:
                raise self._folder.fault(listing, f'line {number} is not IMAGE TRUTH FOCAL')
            if words[1] != 'None':
                self._files.append(self._found(words[0], words[1]))
        self.ids = [
            p.relative_to(path / 'raw').with_suffix('').as_posix() for p, *_ in self._files
        ]

    def _found(self, image: str, truth: str) -> tuple[Path, Path, Path]:
        fault = 'benchmark_layout'
        picture = inside(self._path, f'raw/{image}', fault)
        if not picture.is_file() and picture.with_suffix('.jpg').is_file():
            picture = picture.with_suffix('.jpg')
        depth = inside(self._path, f'gts/{truth}', fault)
        calibration = self._path / 'raw' / image.split('/')[0] / 'calib_cam_to_cam.txt'
        self._folder.required((picture, depth, calibration))
        return picture, depth, calibration

    def load(self, index: int) -> Item:
        """Read an image."""
        picture, truth, calibration = self._files[index]
        image = self._folder.image(picture)
        depth = load_depth_map(truth, _UNIT_M)
        self._folder.same_size(truth, depth, image.shape[:2])
        camera = self._camera(calibration, image.shape[:2])
        return Item(self.ids[index], image, depth, camera)

    def _camera(self, path: Path, size: tuple[int, int]) -> CameraModel:
        P = kitti_entries(read_text(path, 'benchmark_layout')).get('P_rect_02')
        if P is None or P.size != 12:
            raise self._folder.fault(path, 'has no line P_rect_02: with 12 numbers')
        return self._folder.camera(path, size, P[[0, 5, 2, 6]].tolist())


def _score(estimate: DepthEstimate, item: Item) -> Score:
    """Score within either crop."""
    height, width = item.depth.shape
    columns = int(_COLUMNS[0] * width), int(_COLUMNS[1] * width)
    depth = within(item.depth, *_RANGE_M)
    figures: dict[str, float] = {}
    for name, (top, bottom) in _CROPS.items():
        part = cropped(depth, (int(top * height), int(bottom * height)), columns)
        for key, value in error_sums(estimate.depth, part).metrics().items():
            figures[f'{name} {key}'] = value
    tops, bottoms = zip(*_CROPS.values(), strict=True)
    either = cropped(depth, (int(min(tops) * height), int(max(bottoms) * height)), columns)
    return Score(figures, error_sums(estimate.depth, either))


def _columns() -> tuple[Column, ...]:
    keys = ('abs_rel', 'sq_rel', 'rmse_m', 'rmse_log', 'delta1', 'delta2', 'delta3')
    return tuple(Column(f'{c} {key}', _TASK, f'{c} {key}') for c in _CROPS for key in keys)


BENCHMARK = Benchmark(
    name='kitti_eigen',
    title="KITTI, Eigen's test split",
    layout=_LAYOUT,
    open=_Images,
    images=652,
    tasks=(*geometry_tasks(750, 375), Task(_TASK, score=_score)),
    tables=(*geometry_tables('kitti'), Table('Metric depth within the usual crops', _columns())),
    choices=(
        'Ground truth is the accumulated one of KITTI depth completion (652 images have it).',
        'Crops: depth between 0.05 and 80 m, means over images, whole images to the estimator.',
        'Tables 5 and 6 do not say which images of KITTI they are over; these are taken.',
        *MOGE_CHOICES,
    ),
)
