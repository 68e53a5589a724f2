# SPDX-License-Identifier: Apache-2.0
"""Extrinsics from calibration files: our YAML, Kalibr's, KITTI's text files. Knows no ROS.

The YAML holds transforms between named frames, each the pose of the child in the parent; an
example is in docs/INPUTS.md, section Extrinsics.
KITTI's files name no frames: they hold one transform, from the LiDAR to the camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets.kitti_calibration import kitti_entries
from metric_depth_ros.geometry.rigid import Transform, checked_rigid, transform_from_quaternion
from metric_depth_ros.ros.kalibr import camchain_transforms, is_camchain
from metric_depth_ros.untrusted_files import read_text, read_yaml


def read_transforms_yaml(path: Path) -> dict[tuple[str, str], Transform]:
    """Return the transforms of a YAML calibration, (4, 4) by (parent, child).

    Raises
    ------
    InputError
        Not readable, or not of the form of docs/INPUTS.md.
    """
    try:
        content = read_yaml(path, 'extrinsics')
    except InputError as error:
        raise _unreadable(path, error, 'is no YAML that can be used') from error
    if is_camchain(content):
        return camchain_transforms(content, path)
    entries = content.get('transforms') if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise _refused(path, "has no list 'transforms'")
    transforms = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not entry.get('parent') or not entry.get('child'):
            raise _refused(path, f"transform {number} needs 'parent' and 'child'")
        transforms[str(entry['parent']), str(entry['child'])] = _transform(path, number, entry)
    return transforms


def read_kitti_calibration(path: Path, camera: int) -> Transform:
    """Return the transform from the LiDAR to the rectified camera of a KITTI calibration.

    Parameters
    ----------
    path
        ``calib.txt`` of the odometry set (``P0`` to ``P3``, ``Tr``), an object file (``P0`` to
        ``P3``, ``R0_rect``, ``Tr_velo_to_cam``), or ``calib_velo_to_cam.txt`` of the raw data,
        which lies beside ``calib_cam_to_cam.txt``.
    camera
        0 to 3.

    Returns
    -------
    Transform
        (4, 4); includes the rectifying rotation and the baseline of the camera.

    Raises
    ------
    InputError
        Not readable, or entries missing.
    """
    entries = kitti_entries(_text(path))
    if 'R' in entries and 'T' in entries:
        sibling = path.with_name('calib_cam_to_cam.txt')
        entries |= {f'raw_{name}': value for name, value in kitti_entries(_text(sibling)).items()}
        names = ('R', 'T', 'raw_R_rect_00', f'raw_P_rect_{camera:02d}')
        R, T, rectify, P = (_kitti_entry(path, entries, name) for name in names)
        velodyne = np.hstack((R.reshape(3, 3), T.reshape(3, 1)))
    else:
        name = 'Tr' if 'Tr' in entries else 'Tr_velo_to_cam'
        velodyne = _kitti_entry(path, entries, name).reshape(3, 4)
        without = {'R0_rect': np.eye(3).ravel(), **entries}
        rectify = _kitti_entry(path, without, 'R0_rect')
        P = _kitti_entry(path, entries, f'P{camera}')
    P = P.reshape(3, 4)
    turned = np.eye(4)
    turned[:3, :3] = rectify.reshape(3, 3)
    moved = np.eye(4)
    try:
        moved[:3, 3] = np.linalg.solve(P[:, :3], P[:, 3])
    except np.linalg.LinAlgError as error:
        raise _refused(path, f'P of camera {camera} is {P.tolist()}, no projection') from error
    return moved @ turned @ checked_rigid(velodyne, f'of {path}')


def is_kitti_calibration(path: Path) -> bool:
    """Tell KITTI's text files from YAML by their name."""
    return path.suffix == '.txt'


def _transform(path: Path, number: int, entry: Mapping[str, Any]) -> Transform:
    name = f'{number} of {path}'
    if 'matrix' in entry:
        try:
            return checked_rigid(np.array(entry['matrix'], np.float64), name)
        except (TypeError, ValueError) as error:
            raise _refused(path, f'transform {number}: {error}') from error
    if 'translation' not in entry or 'rotation' not in entry:
        raise _refused(path, f"transform {number} needs 'translation' and 'rotation', or 'matrix'")
    try:
        return transform_from_quaternion(
            _numbers(entry, 'translation', 3), _numbers(entry, 'rotation', 4)
        )
    except (TypeError, ValueError) as error:
        raise _refused(path, f'transform {number}: {error}') from error


def _numbers(entry: Mapping[str, Any], name: str, size: int) -> list[float]:
    values = entry[name]
    if not isinstance(values, list) or len(values) != size:
        raise ValueError(f'{name} is {values}, expected a list of {size} numbers')
    return [float(v) for v in values]


def _kitti_entry(path: Path, entries: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    size = {'R': 9, 'T': 3, 'raw_R_rect_00': 9, 'R0_rect': 9}.get(name, 12)
    values = entries.get(name)
    if values is None or values.size != size or not np.isfinite(values).all():
        raise _refused(path, f'has no entry {name.removeprefix("raw_")} of {size} finite numbers')
    return values


def _text(path: Path) -> str:
    try:
        return read_text(path, 'extrinsics')
    except InputError as error:
        raise _unreadable(path, error, 'cannot be used') from error


def _unreadable(path: Path, error: InputError, words: str) -> InputError:
    gone = isinstance(error.__cause__, FileNotFoundError)
    return _refused(path, 'does not exist' if gone else f'{words}: {error}')


def _refused(path: Path, reason: str) -> InputError:
    return InputError(
        'extrinsics',
        f'calibration file {path} {reason.removesuffix(".")} (parameter extrinsics.path; the '
        'forms are in docs/INPUTS.md, section Extrinsics).',
    )
