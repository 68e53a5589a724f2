# SPDX-License-Identifier: Apache-2.0
"""Miniature data sets of the papers, in the layout that each one's archive unpacks to.

Every image shows a wall at 4 m with a box at 2 m; `K` of a picture is what its files say.
"""

from pathlib import Path

import cv2
import numpy as np

WALL_M, BOX_M = 4.0, 2.0


def scene_depth(height: int, width: int) -> np.ndarray:
    depth = np.full((height, width), WALL_M, np.float32)
    depth[height // 4 : 3 * height // 4, width // 3 : 2 * width // 3] = BOX_M
    return depth


def save_image(path: Path, height: int, width: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = (scene_depth(height, width) * 50).astype(np.uint8)
    noise = np.random.default_rng(1).integers(0, 40, (height, width, 3), np.uint8)
    assert cv2.imwrite(str(path), shade[..., None] + noise)


def save_png(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), values)


def save_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def nyu(root: Path, images: int = 2) -> Path:
    for i in range(images):
        save_image(root / 'kitchen' / f'rgb_{i:05d}.jpg', 480, 640)
        depth = scene_depth(480, 640)
        depth[100, 100] = 12.0  # beyond the cap
        save_png(root / 'kitchen' / f'sync_depth_{i:05d}.png', (depth * 1000).astype(np.uint16))
    return root


def kitti_dc(root: Path) -> Path:
    name = '2011_09_26_drive_0002_sync_{}_0000000005_image_02'
    save_image(root / 'image' / f'{name.format("image")}.png', 96, 160)
    depth = scene_depth(96, 160)
    save_png(
        root / 'groundtruth_depth' / f'{name.format("groundtruth_depth")}.png',
        (depth * 256).astype(np.uint16),
    )
    scan = np.zeros_like(depth)
    scan[::4, ::4] = depth[::4, ::4]
    save_png(
        root / 'velodyne_raw' / f'{name.format("velodyne_raw")}.png',
        (scan * 256).astype(np.uint16),
    )
    save_text(root / 'intrinsics' / f'{name.format("image")}.txt', '90 0 80 0 90 48 0 0 1\n')
    return root


def ibims(root: Path) -> Path:
    name, shape = 'kitchen_01', (96, 128)
    save_image(root / 'rgb' / f'{name}.png', *shape)
    units = (scene_depth(*shape) * 65535 / 50).round().astype(np.uint16)
    save_png(root / 'depth' / f'{name}.png', units)
    valid, opaque = (np.full(shape, 255, np.uint8) for _ in range(2))
    valid[:10], opaque[:, :10] = 0, 0
    save_png(root / 'mask_invalid' / f'{name}.png', valid)
    save_png(root / 'mask_transp' / f'{name}.png', opaque)
    save_text(root / 'calib' / f'{name}.txt', '110.0,112.0,63.5,47.5\n')
    return root


def diode(root: Path) -> Path:
    for part in ('indoors', 'outdoor'):
        folder = root / part / 'scene_1' / 'scan_1'
        save_image(folder / 'view.png', 768, 1024)
        np.save(folder / 'view_depth.npy', scene_depth(768, 1024)[..., None])
        mask = np.ones((768, 1024), np.float32)
        mask[:20] = 0
        np.save(folder / 'view_depth_mask.npy', mask)
    return root


def eth3d(root: Path) -> Path:
    shape = (256, 384)
    for scene in ('office', 'facade'):
        folder = root / scene
        save_image(folder / 'images/dslr_images/DSC_1.JPG', *shape)
        depth = scene_depth(*shape)
        depth[:16] = np.inf
        path = folder / 'ground_truth_depth/dslr_images/DSC_1.JPG'
        path.parent.mkdir(parents=True)
        depth.tofile(path)
        model = folder / 'dslr_calibration_jpg'
        save_text(
            model / 'cameras.txt',
            '# cameras\n0 THIN_PRISM_FISHEYE 384 256 300 300 192 128 0 0 0 0 0 0 0 0\n',
        )
        # A camera at -1 m along Z, not turned: its depth is 1 m more than Z.
        save_text(
            model / 'images.txt',
            '# images\n5 1 0 0 0 0 0 1 0 dslr_images/DSC_1.JPG\n'
            '192.5 128.5 7 20.5 60.5 8 10 10 -1\n',
        )
        save_text(model / 'points3D.txt', '7 0 0 1 9 9 9 0.1 5 0\n8 -1 -1 3 9 9 9 0.1 5 1\n')
    return root
