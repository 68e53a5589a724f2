# SPDX-License-Identifier: Apache-2.0
"""A miniature frame set, written to disk."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

WIDTH, HEIGHT = 64, 48
K = [[50.0, 0.0, 31.5], [0.0, 50.0, 23.5], [0.0, 0.0, 1.0]]


@pytest.fixture
def true_depth() -> np.ndarray:
    """A wall at 4 m with a box at 2 m in front of it."""
    depth = np.full((HEIGHT, WIDTH), 4.0, np.float32)
    depth[12:36, 20:44] = 2.0
    return depth


@pytest.fixture
def mini_set(tmp_path: Path, true_depth: np.ndarray, rng: np.random.Generator) -> Path:
    """Two frames; prompts `grid` (depth map) and `lidar` (points), one unscored, a mask."""
    folder = tmp_path / 'mini'
    folder.mkdir()
    sparse = np.zeros_like(true_depth)
    sparse[::8, ::8] = true_depth[::8, ::8]
    row, column = np.nonzero(sparse)
    z = sparse[row, column]
    xyz = np.stack(((column - 31.5) * z / 50.0, (row - 23.5) * z / 50.0, z), axis=1)
    sensor = np.stack((xyz[:, 2], -xyz[:, 0], -xyz[:, 1]), axis=1)  # x forward, y left, z up
    frames = []
    for i in range(2):
        image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        cv2.imwrite(str(folder / f'{i}.png'), image)
        cv2.imwrite(str(folder / f'{i}_grid.png'), (sparse * 1000).astype(np.uint16))
        cv2.imwrite(str(folder / f'{i}_gt.png'), (true_depth * 256).astype(np.uint16))
        cv2.imwrite(str(folder / f'{i}_mask.png'), (true_depth < 3.0).astype(np.uint8) * 255)
        np.savez(folder / f'{i}_lidar.npz', xyz=sensor.astype(np.float32))
        frames.append(
            {
                'id': str(i),
                'image': f'{i}.png',
                'width': WIDTH,
                'height': HEIGHT,
                'K': K,
                'distortion': None,
                'stamp_ns': 100 * i,
                'prompts': {
                    'grid': _depth_map_prompt(f'{i}_grid.png', scored=True),
                    'lidar': {
                        'path': f'{i}_lidar.npz',
                        'format': 'points',
                        'kind': 'lidar',
                        'scale': 1.0,
                        'T_camera_sensor': [
                            [0, -1, 0, 0],
                            [0, 0, -1, 0],
                            [1, 0, 0, 0],
                            [0, 0, 0, 1],
                        ],
                        'scored': True,
                    },
                    'raw': _depth_map_prompt(f'{i}_grid.png', scored=False),
                },
                'gt': {
                    'path': f'{i}_gt.png',
                    'scale': 1 / 256,
                    'kind': 'dense',
                    'min_m': 0.1,
                    'max_m': 3.9 if i else 10.0,
                },
                'mask': {'box': f'{i}_mask.png'},
            }
        )
    index = {'name': 'mini', 'description': 'a box', 'rate_hz': 10, 'frames': frames}
    (folder / 'frames.json').write_text(json.dumps(index), encoding='utf-8')
    return folder


def _depth_map_prompt(path: str, scored: bool) -> dict:
    return {
        'path': path,
        'format': 'depth_map',
        'kind': 'random',
        'scale': 0.001,
        'T_camera_sensor': None,
        'scored': scored,
    }
