# SPDX-License-Identifier: Apache-2.0
"""Miniature data sets of the papers, in the layout that each one's archive unpacks to.

Every image shows a wall at 4 m with a box at 2 m; `K` of a picture is what its files say.
"""

import json
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


def kitti_eigen(root: Path) -> Path:
    image = '2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.png'
    truth = '2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/0000000069.png'
    save_text(
        root / 'eigen_test_files_with_gt.txt',
        f'{image} {truth} 721.5377\n{image.replace("69", "70")} None 721.5377\n',
    )
    save_image(root / 'raw' / image, 96, 320)
    save_png(root / 'gts' / truth, (scene_depth(96, 320) * 256).astype(np.uint16))
    save_text(
        root / 'raw/2011_09_26/calib_cam_to_cam.txt',
        'calib_time: 09-Jan-2012\nP_rect_02: 180 0 160 45 0 180 48 0 0 0 1 0\n',
    )
    return root


def sintel(root: Path) -> Path:
    shape = (64, 128)
    save_image(root / 'training/final/alley_1/frame_0001.png', *shape)
    tag = np.array([202021.25], '<f4').tobytes()
    depth = scene_depth(*shape)
    depth[0, 0] = 200.0
    size = np.array(shape[::-1], '<i4').tobytes()
    path = root / 'training/depth/alley_1/frame_0001.dpt'
    path.parent.mkdir(parents=True)
    path.write_bytes(tag + size + depth.astype('<f4').tobytes())
    path = root / 'training/camdata_left/alley_1/frame_0001.cam'
    path.parent.mkdir(parents=True)
    K = np.array([[112.0, 0, 64], [0, 112, 32], [0, 0, 1]])
    path.write_bytes(tag + K.tobytes() + np.zeros(12).tobytes())
    return root


def middlebury(root: Path) -> Path:
    shape, focal, baseline_mm, offset = (60, 80), 100.0, 200.0, 3.0
    save_image(root / 'Adirondack/im0.png', *shape)
    disparity = (0.001 * baseline_mm * focal / scene_depth(*shape) - offset).astype('<f4')
    disparity[-1] = np.inf
    data = b'Pf\n80 60\n-0.003922\n' + disparity[::-1].tobytes()
    (root / 'Adirondack/disp0.pfm').write_bytes(data)
    save_text(
        root / 'Adirondack/calib.txt',
        f'cam0=[{focal} 0 40.5; 0 {focal} 30; 0 0 1]\ncam1=[1 0 1; 0 1 1; 0 0 1]\n'
        f'doffs={offset}\nbaseline={baseline_mm}\nwidth=80\n',
    )
    return root


def booster(root: Path) -> Path:
    shape, scene = (60, 80), root / 'train/balanced/Mirror'
    for light in range(2):
        save_image(scene / f'camera_00/im{light}.png', *shape)
    np.save(scene / 'disp_00.npy', (0.08 * 100.0 / scene_depth(*shape)).astype(np.float32))
    mask = np.full(shape, 255, np.uint8)
    mask[:6] = 0
    save_png(scene / 'mask_00.png', mask)
    storage = cv2.FileStorage(str(scene / 'calib_00-02.xml'), cv2.FILE_STORAGE_WRITE)
    storage.write('proj_matL', np.array([[100.0, 0, 40, 0], [0, 100, 30, 0], [0, 0, 1, 0]]))
    storage.write('baselineLR', 80.0)
    storage.release()
    return root


def sun(root: Path) -> Path:
    folder = root / 'SUNRGBD/kv1/NYUdata/NYU0001'
    save_text(root / 'test.txt', 'SUNRGBD/kv1/NYUdata/NYU0001\n')
    save_image(folder / 'image/NYU0001.jpg', 60, 80)
    depth = (scene_depth(60, 80) * 1000).astype(np.uint16)
    save_png(folder / 'depth/NYU0001.png', (depth << 3) | (depth >> 13))
    save_text(folder / 'intrinsics.txt', '90 0 40\n0 91 30\n0 0 1\n')
    return root


RADAR_HEADER = """\
# .PCD v0.7 - Point Cloud Data file format
VERSION 0.7
FIELDS x y z dyn_prop ambig_state invalid_state
SIZE 4 4 4 1 1 1
TYPE F F F I I I
COUNT 1 1 1 1 1 1
WIDTH 2
HEIGHT 1
VIEWPOINT 0 0 0 1 0 0 0
POINTS 2
DATA binary
"""


def nuscenes(root: Path, version: str = 'v1.0-trainval') -> Path:
    """One key frame; all sensors look along the vehicle's x axis, the camera in its own way."""
    forward, optical = [1, 0, 0, 0], [0.5, -0.5, 0.5, -0.5]
    tables = {
        'scene': [{'token': 's', 'name': 'scene-0003'}, {'token': 't', 'name': 'scene-0001'}],
        'sample': [
            {'token': 'frame', 'scene_token': 's', 'timestamp': 5},
            *([{'token': 'other', 'scene_token': 't', 'timestamp': 6}] * ('val' in version)),
        ],
        'sample_data': [],
        'calibrated_sensor': [],
        'ego_pose': [],
    }
    files = {
        'CAM_FRONT': 'a.jpg',
        'LIDAR_TOP': 'b.pcd.bin',
        'RADAR_FRONT': 'c.pcd',
    }
    for i, (channel, name) in enumerate(files.items()):
        camera = channel == 'CAM_FRONT'
        tables['sample_data'] += [
            {
                'token': f'd{channel}{key}',
                'sample_token': 'frame',
                'filename': f'samples/{channel}/{name}',
                'calibrated_sensor_token': channel,
                'ego_pose_token': channel,
                'is_key_frame': key,
                'height': 90 if camera else 0,
                'width': 160 if camera else 0,
            }
            for key in (True, False)
        ]
        tables['calibrated_sensor'].append(
            {
                'token': channel,
                'translation': [0, 0, 0],
                'rotation': optical if camera else forward,
                'camera_intrinsic': [[100, 0, 80], [0, 100, 45], [0, 0, 1]] if camera else [],
            }
        )
        # The vehicle moves by 1 m from sensor to sensor.
        tables['ego_pose'].append(
            {'token': channel, 'translation': [i, 0, 0], 'rotation': forward}
        )
    for name, rows in tables.items():
        save_text(root / version / f'{name}.json', json.dumps(rows))
    save_image(root / 'samples/CAM_FRONT/a.jpg', 90, 160)
    points = np.array([[10, 0, 0, 1, 1], [30, 0, 0, 1, 1], [20, 2, 1, 1, 1], [-5, 0, 0, 1, 1]])
    (root / 'samples/LIDAR_TOP').mkdir(parents=True)
    points.astype('<f4').tofile(root / 'samples/LIDAR_TOP/b.pcd.bin')
    return root


def nuscenes_radar(root: Path) -> Path:
    nuscenes(root, 'v1.0-test')
    record = np.dtype([(n, '<f4') for n in 'xyz'] + [(n, 'i1') for n in 'abc'])
    radar = np.array([(12, 3, 0, 0, 3, 0), (15, 0, 0, 0, 3, 4)], record)
    (root / 'samples/RADAR_FRONT').mkdir(parents=True)
    (root / 'samples/RADAR_FRONT/c.pcd').write_bytes(RADAR_HEADER.encode() + radar.tobytes())
    return root


def depthlm(root: Path) -> Path:
    record = {
        'image': 'rgb/a.png',
        'intrinsics': [0.0, 100.0, 40.0, 30.0],
        'pixel_coords': [[40, 30], [70, 5], [5, 5]],
        'depth': [2.0, 4.5, 4.6],
    }
    save_text(root / 'ibims1/ibims1_val.jsonl', json.dumps(record) + '\n')
    save_image(root / 'ibims1/rgb/a.png', 60, 80)
    return root


def depthvlm(root: Path) -> Path:
    record = {
        'image': 'rgb/a.png',
        'depth_path': 'depth/a.png',
        'depth_scale': 1000.0,
        'original_fx': 500.0,
        'canonical_size': [160, 120],
        'pixel_coords': [[40, 30], [70, 5], [0, 0]],
        'depth': [2.0, 4.0, 3.5],
    }
    save_text(root / 'nyuv2_test.jsonl', json.dumps(record) + '\n')
    save_image(root / 'rgb/a.png', 60, 80)
    depth = (scene_depth(60, 80) * 1000).astype(np.uint16)
    depth[0, 0] = 0
    save_png(root / 'depth/a.png', depth)
    return root
