# SPDX-License-Identifier: Apache-2.0
"""Recorded data as training examples: frame sets, and folders as KITTI depth completion has them.

Depth that was not measured is NaN. May import `framesets`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets import RecordedFrame, find_frame_sets
from metric_depth_ros.framesets.kitti_calibration import kitti_entries
from metric_depth_ros.framesets.stored_arrays import load_color_image, load_depth_map
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.prompting.depth_image import prompt_from_registered_depth
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.types import CameraModel, Source, SparsePrompt
from metric_depth_ros.untrusted_files import read_text

KITTI_SCALE = 1.0 / 256.0
_TRUTH = 'proj_depth/groundtruth'
_SCAN = 'proj_depth/velodyne_raw'
_SPLITS = ('train', 'val')
_ANNOTATED, _VELODYNE = 'data_depth_annotated', 'data_depth_velodyne'
_SIGMA_M, _SIGMA_SHARE = 0.02, 0.005  # one standard deviation of a scan


class FrameSetSource:
    """Frames with camera and ground truth of a frame set, or of a folder of them.

    Every prompt of a frame is a sensor under its own name.

    Raises
    ------
    InputError
        No such frame.
    """

    def __init__(self, folder: Path) -> None:
        usable = [
            [frame for frame in frame_set.frames if frame.ground_truth and frame.camera]
            for frame_set in find_frame_sets([folder])
        ]
        self.groups = [len(frames) for frames in usable if frames]
        self._frames = [frame for frames in usable for frame in frames]
        if not self._frames:
            raise InputError(
                'training_data', f'no frame of {folder} has both ground truth and a camera (K).'
            )

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self._frames)

    def load(self, index: int) -> Example:
        """Read an example."""
        frame: RecordedFrame = self._frames[index]
        assert frame.camera is not None  # others were left out
        return Example(
            image=frame.load_image(),
            depth=frame.load_ground_truth(),
            camera=frame.camera,
            kind='recorded',
            sensors={name: frame.load_prompt(name) for name in frame.prompts},
        )


class KittiSource:
    """A split of KITTI depth completion: annotated depth, projected scans and raw images.

    The archives may be unpacked side by side (``data_depth_annotated``, ``data_depth_velodyne``,
    ``raw``) or all into one tree: an image is looked for by drive, camera and number. The scan of
    a frame is the sensor ``lidar``.

    Parameters
    ----------
    folder
        Of a split, ``.../data_depth_annotated/train``, whose images are looked for beside
        ``data_depth_annotated`` too; or one that holds all archives of one split alone.

    Raises
    ------
    InputError
        No annotated depth there, or that of both splits.
    """

    def __init__(self, folder: Path) -> None:
        folder = folder.absolute()
        self._folder = _root(folder)
        self._truths = sorted(folder.glob(f'**/{_TRUTH}/image_0[23]/*.png'))
        if not self._truths:
            raise InputError(
                'training_data',
                f'{folder} holds no */{_TRUTH}/image_02/*.png: unpack the annotated depth maps '
                'of KITTI depth completion there.',
            )
        if {path.parents[4].name for path in self._truths} >= set(_SPLITS):
            raise InputError(
                'training_data',
                f'{folder} holds both splits of KITTI, but what learns from one is measured on '
                f'the other: name the folder of one, {self._truths[0].parents[4]}.',
            )
        self._drives = {
            drive.name: drive
            for drive in self._folder.glob('**/*_sync')
            if any((drive / f'image_0{side}/data').is_dir() for side in (2, 3))
        }
        drives = [path.parents[3].name for path in self._truths]
        self.groups = [drives.count(name) for name in dict.fromkeys(drives)]

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self._truths)

    def load(self, index: int) -> Example:
        """Read an example."""
        truth = self._truths[index]
        side, drive = truth.parent.name, truth.parents[3].name
        image = load_color_image(self._image_path(drive, side, truth.stem))
        depth = load_depth_map(truth, KITTI_SCALE)
        if image.shape[:2] != depth.shape:
            raise InputError(
                'training_data',
                f'{truth} is {depth.shape[1]}x{depth.shape[0]}, its image '
                f'{image.shape[1]}x{image.shape[0]}.',
            )
        scan = Path(str(truth).replace(_TRUTH, _SCAN).replace(_ANNOTATED, _VELODYNE))
        sensors = {'lidar': _scan_points(scan)} if scan.is_file() else {}
        camera = self._camera(drive, side, depth.shape[1], depth.shape[0])
        return Example(image=image, depth=depth, camera=camera, kind='recorded', sensors=sensors)

    def _image_path(self, drive: str, side: str, stem: str) -> Path:
        folder = self._drives.get(drive)
        for suffix in ('.png', '.jpg'):
            path = None if folder is None else folder / side / 'data' / f'{stem}{suffix}'
            if path is not None and path.is_file():
                return path
        raise InputError(
            'training_data',
            f'{self._folder} has no image {side}/data/{stem}.png of the drive {drive}: unpack '
            'the raw, rectified images (*_sync) of KITTI there.',
        )

    def _camera(self, drive: str, side: str, width: int, height: int) -> CameraModel:
        path = self._drives[drive].parent / 'calib_cam_to_cam.txt'
        key = f'P_rect_{side.removeprefix("image_")}'
        try:
            P = kitti_entries(read_text(path, 'training_data'))[key].reshape(3, 4)
        except (InputError, KeyError, ValueError) as error:
            raise InputError(
                'training_data',
                f'{path} cannot be read or lacks 12 numbers of {key}: it is the calibration of '
                f'the drive {drive}, from the same archive of raw data.',
            ) from error
        return CameraModel(width, height, P[:, :3], Distortion())


def _root(folder: Path) -> Path:
    """Return the folder that the archives of a split lie in."""
    above = folder.parent
    if folder.name not in _SPLITS or not any(folder.glob(f'*/{_TRUTH}')):
        return folder
    return above.parent if above.name == _ANNOTATED else above


def _scan_points(path: Path) -> SparsePrompt:
    points = prompt_from_registered_depth(load_depth_map(path, KITTI_SCALE), source=Source.LIDAR)
    sigma = np.hypot(np.float32(_SIGMA_M), np.float32(_SIGMA_SHARE) * points.depth)
    return replace(points, sigma=sigma)
