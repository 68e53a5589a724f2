# SPDX-License-Identifier: Apache-2.0
"""A synthetic scene for timing: road, walls, boxes; image, dense depth, and prompts of it.

NumPy only and independent of the simulation, so that figures stay comparable when that changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.types import CameraModel, Frame, Source, SparsePrompt


@dataclass(frozen=True, eq=False)
class Scene:
    """Image (H, W, 3) uint8, depth (H, W) float32 meters, and the camera of both."""

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    camera: CameraModel

    def frame(self, prompt: SparsePrompt) -> Frame:
        """Return the frame of this scene with a prompt."""
        return Frame(0, 'camera', self.image, self.camera, prompt)


def street_like(width: int, height: int, seed: int = 7) -> Scene:
    """Return a road that recedes to a horizon, with boxes standing on it."""
    rng = np.random.default_rng(seed)
    horizon, focal = 0.45 * height, 0.58 * width
    row, column = np.mgrid[:height, :width].astype(np.float32)
    depth = np.clip(1.6 * focal / np.maximum(row - horizon, 1.0), 2.0, 80.0)
    shade = 90.0 + 40.0 * np.sin(0.05 * column) * np.sin(400.0 / depth)
    for _ in range(14):
        distance = rng.uniform(5.0, 50.0)
        half_px, top_px = focal * rng.uniform(0.4, 1.2, 2) / distance
        foot_px = horizon + 1.6 * focal / distance
        center = rng.uniform(0.0, width)
        box = (abs(column - center) < half_px) & (row < foot_px) & (row > foot_px - 2.0 * top_px)
        nearer = box & (depth > distance)
        depth[nearer], shade[nearer] = distance, rng.uniform(20.0, 230.0)
    noise = rng.normal(0.0, 4.0, (height, width, 3))
    image = np.clip(shade[..., None] + noise, 0, 255).astype(np.uint8)
    camera = CameraModel.pinhole(width, height, focal, focal, width / 2.0, horizon)
    return Scene(image, depth.astype(np.float32), camera)


def random_prompt(scene: Scene, count: int, seed: int = 7) -> SparsePrompt:
    """Return `count` points of the lower two thirds of the image, where a LiDAR sees."""
    rng = np.random.default_rng(seed)
    height, width = scene.depth.shape
    first = height // 3
    pixel = first * width + rng.choice((height - first) * width, count, replace=False)
    row, column = np.divmod(np.sort(pixel), width)
    depth = scene.depth[row, column]
    uv = np.stack((column, row), axis=-1).astype(np.float32)
    return SparsePrompt(uv, depth, 0.01 * depth, np.full(count, Source.LIDAR, np.uint8))


def surround_scan(count: int, seed: int = 7) -> NDArray[np.float32]:
    """Return a LiDAR scan (count, 3) of a street all around, x forward, y left, z up."""
    rng = np.random.default_rng(seed)
    azimuth = rng.uniform(-np.pi, np.pi, count)
    elevation = np.radians(rng.choice(np.linspace(-24.8, 2.0, 64), count))
    ground_m = np.where(elevation < -0.02, 1.73 / np.tan(-np.minimum(elevation, -0.02)), 80.0)
    range_m = np.minimum(ground_m, rng.uniform(5.0, 80.0, count))
    across = range_m * np.cos(elevation)
    xyz = (across * np.cos(azimuth), across * np.sin(azimuth), range_m * np.sin(elevation))
    return np.stack(xyz, axis=-1).astype(np.float32)
