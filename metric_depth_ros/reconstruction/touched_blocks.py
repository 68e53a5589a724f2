# SPDX-License-Identifier: Apache-2.0
"""The blocks of voxels that a depth image touches.

open3d looks at the corner pixel of every 4x4 alone, and so at next to nothing of an image that is
measured at single pixels or lines. Here every cell of pixels with a measurement has a say, and
cells are so small that a block is wider than two of them; a full image costs no more.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.reconstruction.block_numbers import numbers_of
from metric_depth_ros.reconstruction.block_points import BLOCK

_LARGEST_CELL_PX = 4
_STEP_VOXELS = BLOCK / 2  # along a ray, so that it misses no more than the corner of a block


def touched_blocks(
    depth: NDArray[np.float32],
    camera: CameraModel,
    T_world_camera: Transform,
    voxel_m: float,
    truncation_voxels: float,
) -> NDArray[np.int64]:
    """Return the numbers of the blocks within the truncation of what was measured, sorted.

    Parameters
    ----------
    depth
        (H, W) meters along the optical axis; 0 where nothing was measured.
    camera
        An ideal pinhole.
    T_world_camera
        (4, 4) its place.
    voxel_m, truncation_voxels
        Edge of a voxel, and how many of them before and behind a measurement count.
    """
    block_m = BLOCK * voxel_m
    farthest_m = max(float(depth.max()), voxel_m)
    block_px = min(camera.K[0, 0], camera.K[1, 1]) * block_m / farthest_m
    pixels, z = _one_of_each_cell(depth, int(np.clip(block_px / 2.0, 1, _LARGEST_CELL_PX)))
    rays = np.insert(camera.pixel_to_normalized(pixels), 2, 1.0, axis=1) @ T_world_camera[:3, :3].T
    steps = math.ceil(truncation_voxels / _STEP_VOXELS)
    offsets = np.linspace(-truncation_voxels, truncation_voxels, 2 * steps + 1) * voxel_m
    along = np.maximum(z[:, None] + offsets, 0.0)
    places = T_world_camera[:3, 3] + rays[:, None] * along[..., None]
    blocks = np.floor(places / block_m).astype(np.int64)
    return np.unique(numbers_of(blocks.reshape(-1, 3)))


def _one_of_each_cell(
    depth: NDArray[np.float32], cell: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (N, 2) pixels and (N,) depth: the first measurement of every cell that has one."""
    missing = [(0, -side % cell) for side in depth.shape]
    padded = np.pad(depth, missing)
    rows, columns = (side // cell for side in padded.shape)
    cells = padded.reshape(rows, cell, columns, cell).swapaxes(1, 2).reshape(rows, columns, -1)
    first = (cells > 0.0).argmax(axis=-1)
    z = np.take_along_axis(cells, first[..., None], axis=-1)[..., 0]
    row, column = z.nonzero()
    down, right = np.divmod(first[row, column], cell)
    pixels = np.stack((column * cell + right, row * cell + down), axis=-1)
    return pixels.astype(np.float64), z[row, column].astype(np.float64)
