# SPDX-License-Identifier: Apache-2.0
"""The result of one frame as files: depth, cloud and picture. Knows no frame set and no ROS."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.evaluation.pictures import fit, side_by_side
from metric_depth_ros.evaluation.result_pictures import result_pictures
from metric_depth_ros.geometry.unprojection import depth_to_points
from metric_depth_ros.types import DepthEstimate, Frame

MAX_MILLIMETERS = 65_535  # of a 16-bit PNG
_POINT = np.dtype([('xyz', '<f4', 3), ('rgb', 'u1', 3)])
_POINT_HEADER = (
    'property float x\nproperty float y\nproperty float z\n'
    'property uchar red\nproperty uchar green\nproperty uchar blue\n'
)


def write_results(folder: Path, frame: Frame, estimate: DepthEstimate) -> dict[str, Path]:
    """Write depth.png (16-bit millimeters), depth.npz, cloud.ply and picture.png.

    All of them are written or none. Where no depth is known, the cloud has no points; where no
    camera is known, there is none, and one of an earlier result is removed.

    Returns
    -------
    dict
        The files written, by name.

    Raises
    ------
    OSError
        The disk is full, or a folder is in the way.
    """
    arrays: dict[str, Any] = {'depth': estimate.depth}
    if estimate.confidence is not None:
        arrays['confidence'] = estimate.confidence
    camera = estimate.camera or frame.camera
    contents = {'depth.png': _png(to_millimeters(estimate.depth))}
    if camera is not None:
        arrays['K'] = camera.K
        contents['cloud.ply'] = _ply(depth_to_points(camera, estimate.depth), frame.image)
    archive = io.BytesIO()
    np.savez_compressed(archive, **arrays)
    contents['depth.npz'] = archive.getvalue()
    contents['picture.png'] = _png(picture_sheet(frame, estimate)[..., ::-1])
    paths = _write_all_or_none(folder, contents)
    if camera is None:
        (folder / 'cloud.ply').unlink(missing_ok=True)
    return paths


def to_millimeters(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return depth as 16-bit millimeters; 0 for what is unknown or does not fit (REP-118)."""
    with np.errstate(invalid='ignore'):
        fits = (depth > 0.0) & (depth * 1e3 < MAX_MILLIMETERS + 0.5)
    return np.where(fits, np.rint(np.where(fits, depth, 0.0) * 1e3), 0).astype(np.uint16)


def picture_sheet(frame: Frame, estimate: DepthEstimate) -> NDArray[np.uint8]:
    """Return image, prompt, depth and confidence in one picture, (h, w, 3) uint8 RGB."""
    pictures = result_pictures(frame, estimate, with_confidence=True)
    shown = [picture for name, picture in pictures.items() if name != 'cloud']
    return side_by_side([fit(picture, 640, 480) for picture in shown], columns=2)


def _png(image: NDArray[Any]) -> bytes:
    return cv2.imencode('.png', np.ascontiguousarray(image))[1].tobytes()


def _ply(points: NDArray[np.floating[Any]], image: NDArray[np.uint8]) -> bytes:
    """Return the points (H, W, 3) that are known, with their colors, as a binary PLY."""
    known = np.isfinite(points).all(axis=-1)
    rows = np.empty(np.count_nonzero(known), _POINT)
    rows['xyz'], rows['rgb'] = points[known], image[known]
    header = f'ply\nformat binary_little_endian 1.0\nelement vertex {len(rows)}\n'
    return f'{header}{_POINT_HEADER}end_header\n'.encode('ascii') + rows.tobytes()


def _write_all_or_none(folder: Path, contents: Mapping[str, bytes]) -> dict[str, Path]:
    """Write files of a folder, which get their names when the last one is on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / name for name in contents}
    for path in paths.values():
        if path.is_dir():
            raise OSError(f'{path.name} is in the way')
    with tempfile.TemporaryDirectory(prefix='.unfinished-', dir=folder) as unfinished:
        for name, content in contents.items():
            Path(unfinished, name).write_bytes(content)
        for name, path in paths.items():
            Path(unfinished, name).replace(path)
    return paths
