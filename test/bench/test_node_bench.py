# SPDX-License-Identifier: Apache-2.0
"""Speed of everything but the network: rigs, rows, and a live run of a small rig."""

import json

import cv2
import numpy as np
import pytest

from metric_depth_ros.bench import node
from metric_depth_ros.bench.exchange import Turn
from metric_depth_ros.bench.rig_messages import messages_of, node_parameters
from metric_depth_ros.bench.rigs import RIGS, RigSpec, recorded_rig
from metric_depth_ros.errors import InputError
from metric_depth_ros.geometry.projection import project_cloud
from metric_depth_ros.ros.calibration_files import read_transforms_yaml

STAGES = ('receive', 'decode', 'assemble', 'project', 'prompt', 'encode', 'publish')


@pytest.fixture(scope='module')
def pair():
    return RigSpec('pair', 64, 48, 20.0, 2000, cameras=2).rig()


def write_frame_set(folder, camera_count=2):
    """Write a frame set of cameras that share a scan ahead of them."""
    (folder / 'points').mkdir(parents=True)
    xyz = np.random.default_rng(1).uniform(2.0, 9.0, (500, 3)).astype(np.float32)
    np.savez(folder / 'points' / 'scan.npz', xyz=xyz)
    frames = []
    for number in range(camera_count):
        picture = np.full((48, 64, 3), 40 * number, np.uint8)
        cv2.imwrite(str(folder / f'{number}.png'), picture)
        scan = {'path': 'points/scan.npz', 'format': 'points', 'kind': 'lidar'}
        frames.append({
            'id': f'c{number}', 'image': f'{number}.png', 'width': 64, 'height': 48,
            'K': [[50, 0, 32], [0, 50, 24], [0, 0, 1]], 'prompts': {'scan': scan},
        })  # fmt: skip
    index = {'name': 'recorded', 'multi_camera': True, 'frames': frames}
    (folder / 'frames.json').write_text(json.dumps(index))
    return folder


def test_the_rigs_are_those_that_speed_is_told_for():
    assert [(s.width, s.height, s.rate_hz, s.cameras) for s in RIGS] == [
        (640, 480, 30.0, 1),
        (1242, 375, 10.0, 1),
        (1920, 1080, 10.0, 1),
        (1600, 900, 10.0, 6),
    ]
    assert [s.bar for s in RIGS] == [None, None, 3.0, None]


def test_every_camera_of_a_rig_sees_a_part_of_the_scan(pair):
    for camera in pair.cameras:
        assert len(project_cloud(camera.camera, pair.scan, camera.T_camera_lidar).depth)


def test_cameras_share_one_scan_and_one_node(pair, tmp_path):
    topics = [message.topic for message in messages_of(pair)]
    assert topics == [
        'points',
        *(f'camera{i}/{t}' for i in (0, 1) for t in ('camera_info', 'image')),
    ]
    parameters = node_parameters(pair, tmp_path)
    assert parameters['cameras'] == '[camera0, camera1]'
    transforms = read_transforms_yaml(parameters['extrinsics.path'])
    T = transforms['lidar', 'camera1_optical_frame']
    np.testing.assert_allclose(np.linalg.inv(T), pair.cameras[1].T_camera_lidar, atol=1e-12)


def test_a_recorded_rig_is_all_cameras_of_its_frame_set(tmp_path):
    rig = recorded_rig(write_frame_set(tmp_path / 'set', 3))
    assert [camera.name for camera in rig.cameras] == ['camera0', 'camera1', 'camera2']
    assert rig.scan.shape == (500, 3)


def test_a_frame_set_without_a_scan_is_refused(tmp_path):
    folder = write_frame_set(tmp_path / 'set')
    index = json.loads((folder / 'frames.json').read_text())
    for frame in index['frames']:
        frame['prompts'] = {}
    (folder / 'frames.json').write_text(json.dumps(index))
    with pytest.raises(InputError, match='has no scan'):
        recorded_rig(folder)


def test_frames_that_are_lost_are_counted_and_not_timed(pair):
    floor = [Turn(10.0, 5.0)] * 4
    answered = [Turn(20.0, 15.0), Turn(None, 99.0), Turn(20.0, 15.0), Turn(20.0, 15.0)]
    rows = node._skin_rows(pair, floor, answered, copy_ms=0.0)
    assert rows[1].name == 'pair: skin (3 of 4 frames)'
    assert [row.ratio for row in rows] == [1.0, 2.0, 1.0, 3.0]


def test_a_run_that_lost_most_frames_says_so(pair):
    with pytest.raises(InputError, match='1 of 4 frames were answered'):
        node._skin_rows(pair, [Turn(1.0, 1.0)] * 4, [Turn(1.0, 1.0)] + [Turn(None, 1.0)] * 3, 0.0)


@pytest.mark.parametrize('source', ['points', 'sensor_depth'])
def test_stages_and_skin_of_a_live_node_are_measured(source, monkeypatch):
    spec = RigSpec('tiny', 64, 48, 50.0, 2000 if source == 'points' else 0, 2, bar=1000.0)
    monkeypatch.setattr(node, 'RIGS', (spec,))
    rows = node.run(3)
    expected = [s for s in STAGES if source == 'points' or s != 'project']
    assert [row.name for row in rows[: len(expected)]] == [f'tiny: {s}' for s in expected]
    floor, skin, floor_cpu, skin_cpu = rows[len(expected) :]
    assert floor.ratio == floor_cpu.ratio == 1.0
    assert skin.bar == skin_cpu.bar == 1000.0
    assert skin.ratio > 0.0
    assert 'processor time' in skin_cpu.name
