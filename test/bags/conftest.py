# SPDX-License-Identifier: Apache-2.0
"""A small frame set that is made on the spot, with one LiDAR and one depth-map prompt."""

import json

import cv2
import numpy as np
import pytest

WIDTH, HEIGHT = 32, 24
K = [[30.0, 0.0, 15.5], [0.0, 30.0, 11.5], [0.0, 0.0, 1.0]]
T_CAMERA_LIDAR = [[0, -1, 0, 0.1], [0, 0, -1, -0.2], [1, 0, 0, 0.3], [0, 0, 0, 1]]


def _frame(folder, i):
    rng = np.random.default_rng(i)
    cv2.imwrite(
        str(folder / f'{i}.png'), rng.integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    )
    depth = np.full((HEIGHT, WIDTH), 4000 + i, np.uint16)
    depth[:4] = 0
    cv2.imwrite(str(folder / f'{i}_depth.png'), depth)
    np.savez(
        folder / f'{i}_points.npz',
        xyz=rng.uniform((2, -1, -1), (9, 1, 1), (50, 3)).astype(np.float32),
        intensity=rng.random(50).astype(np.float32),
        ring=np.arange(50) % 16,
    )
    return {
        'id': str(i),
        'image': f'{i}.png',
        'width': WIDTH,
        'height': HEIGHT,
        'K': K,
        'stamp_ns': 5_000_000_000 + i * 200_000_000,
        'prompts': {
            'lidar': {
                'path': f'{i}_points.npz',
                'format': 'points',
                'kind': 'lidar',
                'scale': 1.0,
                'T_camera_sensor': T_CAMERA_LIDAR,
                'scored': False,
            },
            'rgbd': {
                'path': f'{i}_depth.png',
                'format': 'depth_map',
                'kind': 'rgbd',
                'scale': 0.001,
                'scored': True,
            },
        },
        'gt': {
            'path': f'{i}_depth.png',
            'scale': 0.001,
            'kind': 'dense',
            'min_m': 0.1,
            'max_m': 9.0,
        },
    }


@pytest.fixture(scope='session')
def frame_set_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('set')
    index = {'name': 'tiny', 'rate_hz': 5, 'frames': [_frame(folder, i) for i in range(3)]}
    (folder / 'frames.json').write_text(json.dumps(index))
    return folder
