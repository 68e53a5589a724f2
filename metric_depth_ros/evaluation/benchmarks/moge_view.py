# SPDX-License-Identifier: Apache-2.0
"""An image as MoGe's evaluation sees it: principal point in the middle, one size a data set.

The image is turned by a homography so that its middle looks along the optical axis, and cut to
the largest view of the wanted aspect inside of it. Source: Wang et al., "MoGe" (CVPR 2025), its
evaluation. NumPy, SciPy, OpenCV and Pillow.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from metric_depth_ros.evaluation.benchmarks.protocol import Item, View
from metric_depth_ros.geometry.grid_cells import cell_windows
from metric_depth_ros.types import CameraModel

FARTHEST_RATIO = 1000.0  # of the first percentile of depth; what is beyond does not count

MOGE_CHOICES = (
    'Images are seen as by the evaluation of MoGe (centered principal point, fixed size, depth up '
    'to 1000 times its first percentile), which the table presumably used.',
    'As there, the depth of student_pointmap is taken as it is where its mask sees sky; sky that '
    'other estimators tell is a failure where there is ground truth.',
)


def moge_view(width: int, height: int) -> View:
    """Return the view of a size; items need a camera without distortion."""

    def view(item: Item) -> Item:
        return _seen(item, width, height)

    return view


def _seen(item: Item, width: int, height: int) -> Item:
    if item.camera is None:
        raise ValueError(f'{item.id} has no camera, which the view is made from')
    K = _normalized(item.camera)
    R = _rotation_to_axis(np.linalg.solve(K, np.array([0.5, 0.5, 1.0])))
    across = _field(K, R, width / height)
    seen_K = np.array(
        [[1.0 / across, 0.0, 0.5], [0.0, width / height / across, 0.5], [0.0, 0.0, 1.0]]
    )
    # Resized to about the wanted resolution first, smoothly; the homography only interpolates.
    size = (max(1, int(width / (across * K[0, 0]))), max(1, int(width / (across * K[1, 1]))))
    image = _smoothly_resized(item.image, size)
    depth = nearest_resized(item.depth, size)
    rays = _rays(K, size)
    distance = (depth * np.linalg.norm(rays, axis=-1)).astype(np.float32)
    seen_rays = _rays(seen_K, (width, height))
    source = seen_rays @ (K @ R.T).T
    uv = source[..., :2] / source[..., 2:]
    at = (uv * size - 0.5).astype(np.float32)
    image = cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    distance = cv2.remap(
        distance, at[..., 0], at[..., 1], cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT, borderValue=float('nan'),
    )  # fmt: skip
    seen = (distance / np.linalg.norm(seen_rays, axis=-1)).astype(np.float32)
    return Item(item.id, image, _without_far(seen), _camera(seen_K, width, height))


def _normalized(camera: CameraModel) -> NDArray[np.float64]:
    """Return the intrinsics in units of the image size, borders at 0 and 1."""
    K = camera.K
    return np.array(
        [
            [K[0, 0] / camera.width, 0.0, (K[0, 2] + 0.5) / camera.width],
            [0.0, K[1, 1] / camera.height, (K[1, 2] + 0.5) / camera.height],
            [0.0, 0.0, 1.0],
        ]
    )


def _camera(K: NDArray[np.float64], width: int, height: int) -> CameraModel:
    return CameraModel.pinhole(
        width, height, K[0, 0] * width, K[1, 1] * height, 0.5 * (width - 1), 0.5 * (height - 1)
    )


def _rays(K: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return (H, W, 3) rays of depth 1 through the pixel centers."""
    u = (np.arange(size[0]) + 0.5) / size[0]
    v = (np.arange(size[1]) + 0.5) / size[1]
    x, y = np.meshgrid((u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1])
    return np.stack((x, y, np.ones_like(x)), axis=-1)


def _rotation_to_axis(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smallest rotation that turns a direction onto the optical axis."""
    unit = direction / np.linalg.norm(direction)
    axis = np.cross(unit, [0.0, 0.0, 1.0])
    sine = float(np.linalg.norm(axis))
    if sine < 1e-12:
        return np.eye(3)
    angle = float(np.arctan2(sine, unit[2]))
    matrix: NDArray[np.float64] = Rotation.from_rotvec(axis / sine * angle).as_matrix()
    return matrix


def _field(K: NDArray[np.float64], R: NDArray[np.float64], aspect: float) -> float:
    """Return the width, at depth 1, of the largest view of an aspect in the turned image."""
    across = min(1.0 / K[0, 0], aspect / K[1, 1])
    borders = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    turned = borders @ np.linalg.inv(K).T @ R.T
    corners = turned[:, :2] / turned[:, 2:]
    for a, b in pairwise((*corners, corners[0])):
        for diagonal in (np.array([aspect, 1.0]), np.array([aspect, -1.0])):
            lines = np.stack((diagonal, a - b), axis=1)
            if abs(np.linalg.det(lines)) < 1e-12:
                continue
            reach = np.linalg.solve(lines, a)[0]
            across = min(across, 2.0 * aspect * abs(float(reach)))
    return across


def _without_far(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    known = np.isfinite(depth)
    if not known.any():
        return depth
    limit = np.quantile(depth[known], 0.01) * FARTHEST_RATIO
    with np.errstate(invalid='ignore'):
        return np.where(depth <= limit, depth, np.float32(np.nan))


def _smoothly_resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (H, W, 3) to (width, height) with Pillow, whose levels that evaluation sees."""
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def nearest_resized(depth: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize to (width, height): of each cell the known pixel nearest to its center, or NaN."""
    (columns, from_x), (rows, from_y) = (
        cell_windows(old, new) for old, new in zip(depth.shape[::-1], size, strict=True)
    )
    best = np.full(size[::-1], np.inf)
    resized = np.full(size[::-1], np.nan, np.float32)
    for row, dy in zip(rows.T, from_y.T, strict=True):
        for column, dx in zip(columns.T, from_x.T, strict=True):
            value = depth[row[:, None], column]
            distance = dy[:, None] ** 2 + dx**2
            nearer = np.isfinite(value) & (distance < best)
            best = np.where(nearer, distance, best)
            resized = np.where(nearer, value, resized)
    return resized
