# SPDX-License-Identifier: Apache-2.0
import json
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets import find_frame_sets, load_frame_set
from metric_depth_ros.framesets.stored_arrays import load_color_image
from metric_depth_ros.types import Source

SIZE = (8, 6)


@pytest.fixture
def entry(tmp_path: Path) -> dict:
    """One frame whose files exist: image, ground truth, mask and three prompts."""
    rng = np.random.default_rng(0)
    width, height = SIZE
    cv2.imwrite(str(tmp_path / 'image.png'), rng.integers(0, 255, (height, width, 3), np.uint8))
    depth = np.full((height, width), 2000, np.uint16)
    depth[0] = 0
    depth[1] = 60_000
    cv2.imwrite(str(tmp_path / 'depth.png'), depth)
    cv2.imwrite(str(tmp_path / 'small.png'), np.full((3, 4), 2000, np.uint16))
    cv2.imwrite(str(tmp_path / 'mask.png'), (depth > 0).astype(np.uint8))
    np.savez(
        tmp_path / 'points.npz', xyz=np.array([[0, 0, 3], [9, 9, -1]], np.float32), ring=[1, 2]
    )
    return {
        'id': 'a',
        'image': 'image.png',
        'width': width,
        'height': height,
        'K': [[4.0, 0.0, 3.0], [0.0, 4.0, 2.0], [0.0, 0.0, 1.0]],
        'distortion': None,
        'stamp_ns': 7,
        'prompts': {
            'map': {'path': 'depth.png', 'format': 'depth_map', 'kind': 'lidar', 'scale': 0.001},
            'cloud': {'path': 'points.npz', 'format': 'points', 'kind': 'lidar', 'scored': True},
            'phone': {
                'path': 'depth.png',
                'format': 'depth_map',
                'kind': 'lowres',
                'scale': 0.001,
                'lowres_path': 'small.png',
            },
        },
        'mask': {'known': 'mask.png'},
        'gt': {
            'path': 'depth.png',
            'scale': 0.001,
            'kind': 'sensor',
            'min_m': 0.1,
            'max_m': 50.0,
        },
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_index(*frames: dict, **keys: object) -> Path:
        index = {'name': 'set', 'frames': list(frames), **keys}
        (tmp_path / 'frames.json').write_text(json.dumps(index), encoding='utf-8')
        return tmp_path

    return write_index


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_frame_set(folder)
    return str(caught.value)


def test_a_set_knows_its_name_rate_and_frames(write, entry) -> None:
    frame_set = load_frame_set(write(entry, rate_hz=10, stamp_nominal=True))
    assert (frame_set.name, frame_set.rate_hz, frame_set.stamp_nominal) == ('set', 10.0, True)
    assert frame_set.multi_camera is False
    assert [frame.id for frame in frame_set.frames] == ['a']
    assert frame_set.frames[0].stamp_ns == 7


def test_the_camera_has_the_size_of_the_frame(write, entry) -> None:
    camera = load_frame_set(write(entry)).frames[0].camera
    assert camera.size == SIZE
    assert camera.K[0, 0] == 4.0


def test_unknown_intrinsics_give_no_camera(write, entry) -> None:
    entry['K'] = None
    assert load_frame_set(write(entry)).frames[0].camera is None


def test_the_image_is_rgb(write, entry, tmp_path) -> None:
    cv2.imwrite(str(tmp_path / 'image.png'), np.full((6, 8, 3), (255, 0, 0), np.uint8))  # blue
    assert load_frame_set(write(entry)).frames[0].load_image()[0, 0].tolist() == [0, 0, 255]


def test_ground_truth_outside_its_range_does_not_count(write, entry) -> None:
    depth = load_frame_set(write(entry)).frames[0].load_ground_truth()
    assert np.isnan(depth[:2]).all()  # none at all, and 60 m where 50 m is the most
    assert depth[2:] == pytest.approx(2.0)


@pytest.mark.parametrize('limit_mm', [50_000, 60_000, 65_535, 7])
def test_ground_truth_at_its_limits_counts(write, entry, tmp_path, limit_mm) -> None:
    cv2.imwrite(str(tmp_path / 'depth.png'), np.full((6, 8), limit_mm, np.uint16))
    for limits in ({'min_m': 0.001, 'max_m': limit_mm / 1000}, {'min_m': limit_mm / 1000}):
        entry['gt'] |= {'max_m': 100.0, **limits}
        assert np.isfinite(load_frame_set(write(entry)).frames[0].load_ground_truth()).all()
    entry['gt'] |= {'min_m': 0.001, 'max_m': (limit_mm - 1) / 1000}
    assert np.isnan(load_frame_set(write(entry)).frames[0].load_ground_truth()).all()


def test_ground_truth_may_be_an_npz(write, entry, tmp_path) -> None:
    np.savez(tmp_path / 'gt.npz', depth=np.full((6, 8), 3.0, np.float32))
    entry['gt'] |= {'path': 'gt.npz', 'scale': 1.0}
    assert load_frame_set(write(entry)).frames[0].load_ground_truth() == pytest.approx(3.0)


def test_a_frame_without_ground_truth_has_nothing_scored(write, entry) -> None:
    entry['gt'] = None
    frame = load_frame_set(write(entry)).frames[0]
    assert frame.prompt_names() == []
    with pytest.raises(InputError, match='no ground truth'):
        frame.load_ground_truth()


def test_scored_prompts_are_named_apart(write, entry) -> None:
    frame_set = load_frame_set(write(entry))
    assert frame_set.prompt_names() == ['cloud']
    assert frame_set.prompt_names(scored_only=False) == ['map', 'cloud', 'phone']


def test_a_depth_map_prompt_keeps_pixels_and_meters(write, entry) -> None:
    prompt = load_frame_set(write(entry)).frames[0].load_prompt('map')
    assert len(prompt) == 8 * 5
    assert set(prompt.source) == {Source.LIDAR}
    assert prompt.to_map(*SIZE)[3, 4] == pytest.approx(2.0)
    assert prompt.to_map(*SIZE)[1, 4] == pytest.approx(60.0)


@pytest.mark.parametrize(('kind', 'kept'), [('lidar', False), ('random', True)])
def test_a_depth_map_of_a_lidar_loses_the_points_behind_its_nearer_ones(
    write, entry, tmp_path, kind, kept
) -> None:
    depth = np.zeros((6, 8), np.uint16)
    depth[[1, 3, 5]] = 500  # 2 m
    depth[2, 4] = 5000  # shines through
    cv2.imwrite(str(tmp_path / 'map.png'), depth)
    entry['prompts']['map'] |= {'path': 'map.png', 'scale': 0.004, 'kind': kind}
    seen = load_frame_set(write(entry)).frames[0].load_prompt('map').to_map(*SIZE)
    assert np.isfinite(seen[2, 4]) == kept
    assert np.isfinite(seen[[1, 3, 5]]).all()


def test_points_without_a_transform_are_in_the_optical_frame(write, entry) -> None:
    frame = load_frame_set(write(entry)).frames[0]
    assert frame.T_camera_sensor('cloud').tolist() == np.eye(4).tolist()
    prompt = frame.load_prompt('cloud')
    assert prompt.uv.tolist() == [[3.0, 2.0]]
    assert prompt.depth.tolist() == [3.0]


def test_points_are_moved_by_their_transform(write, entry) -> None:
    T = np.eye(4)
    T[2, 3] = 1.0
    entry['prompts']['cloud']['T_camera_sensor'] = T.tolist()
    assert load_frame_set(write(entry)).frames[0].load_prompt('cloud').depth.tolist() == [4.0]


def test_points_come_with_their_other_arrays(write, entry) -> None:
    points = load_frame_set(write(entry)).frames[0].load_points('cloud')
    assert points['xyz'].shape == (2, 3)
    assert points['ring'].tolist() == [1, 2]


def test_a_low_resolution_prompt_is_made_of_the_original_map(write, entry) -> None:
    prompt = load_frame_set(write(entry)).frames[0].load_prompt('phone')
    assert len(prompt) == 12
    assert set(prompt.source) == {Source.LOW_RESOLUTION}


def test_a_mask_is_true_inside(write, entry) -> None:
    mask = load_frame_set(write(entry)).frames[0].load_mask('known')
    assert not mask[0].any()
    assert mask[1:].all()


def test_a_frame_carries_image_camera_and_prompt(write, entry) -> None:
    frame = load_frame_set(write(entry)).frames[0].load_frame('cloud')
    assert (frame.stamp_ns, frame.camera.size, len(frame.prompt)) == (7, SIZE, 1)


def test_pixels_are_not_read_before_they_are_asked_for(write, entry, tmp_path) -> None:
    (tmp_path / 'image.png').write_bytes(b'no image')
    frame = load_frame_set(write(entry)).frames[0]
    with pytest.raises(InputError, match=r'image\.png cannot be read as an image'):
        frame.load_image()


def test_a_folder_without_an_index_is_no_set(tmp_path) -> None:
    assert 'has no frames.json' in refusal(tmp_path)


@pytest.mark.parametrize('text', ['{', '[1]', '"x"', '{"name": "x"}', '{"frames": []}'])
def test_a_broken_index_is_refused(tmp_path, text: str) -> None:
    (tmp_path / 'frames.json').write_text(text, encoding='utf-8')
    assert 'frames.json' in refusal(tmp_path)


@pytest.mark.parametrize('key', ['id', 'image', 'width', 'height'])
def test_a_missing_key_is_named(write, entry, key: str) -> None:
    del entry[key]
    assert f"'{key}'" in refusal(write(entry))


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('width', '8'),
        ('width', 8.0),
        ('width', True),
        ('prompts', []),
        ('stamp_ns', 1.5),
        ('K', [[1, 2], [3, 4]]),
        ('K', [['a', 0, 0], [0, 1, 0], [0, 0, 1]]),
        ('K', [[10**400, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ('gt', 'depth.png'),
        ('distortion', {'model': 'plumb_bob', 'coefficients': ['a']}),
        ('distortion', {'model': 'heart', 'coefficients': []}),
        ('distortion', {'model': 'plumb_bob'}),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(write, entry, key: str, value: object) -> None:
    entry[key] = value
    assert 'frames[0] (a)' in refusal(write(entry))


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('format', 'pcd'),
        ('kind', 'sonar'),
        ('scale', 0),
        ('scale', -1.0),
        ('scale', 10**400),
        ('scored', 1),
    ],
)
def test_an_unusable_prompt_is_refused(write, entry, key: str, value: object) -> None:
    entry['prompts']['map'][key] = value
    message = refusal(write(entry))
    assert "prompt 'map'" in message
    assert repr(key) in message


@pytest.mark.parametrize(
    'T',
    [
        [[1, 0], [0, 1]],
        (2 * np.eye(4)).tolist(),
        np.diag([2.0, 1, 1, 1]).tolist(),
        np.diag([-1.0, 1, 1, 1]).tolist(),
        'identity',
        [[10**400, 0, 0, 0], *np.eye(4)[1:].tolist()],
    ],
)
def test_a_transform_that_is_not_rigid_is_refused(write, entry, T: object) -> None:
    entry['prompts']['cloud']['T_camera_sensor'] = T
    assert 'T_camera_sensor' in refusal(write(entry))


def test_a_file_that_does_not_exist_is_named(write, entry) -> None:
    entry['gt']['path'] = 'missing.png'
    assert 'missing.png does not exist' in refusal(write(entry))


@pytest.mark.parametrize('path', ['../image.png', '/etc/hostname', 'a/../../image.png'])
def test_a_path_that_leads_out_of_the_folder_is_refused(write, entry, path: str) -> None:
    entry['image'] = path
    assert 'leads out of the set folder' in refusal(write(entry))


def test_a_link_that_leads_out_of_the_folder_is_refused(write, entry, tmp_path) -> None:
    outside = tmp_path.parent / f'{tmp_path.name}_outside.png'
    outside.write_bytes((tmp_path / 'image.png').read_bytes())
    os.symlink(outside, tmp_path / 'link.png')
    entry['image'] = 'link.png'
    assert 'leads out of the set folder' in refusal(write(entry))


def test_two_frames_of_one_name_are_refused(write, entry) -> None:
    assert "two frames are called 'a'" in refusal(write(entry, entry))


@pytest.mark.parametrize('load', ['load_image', 'load_ground_truth'])
def test_a_file_of_another_size_is_refused(write, entry, load: str) -> None:
    entry |= {'width': 9, 'K': None}
    frame = load_frame_set(write(entry)).frames[0]
    with pytest.raises(InputError, match=r'8x6.*9x6'):
        getattr(frame, load)()


def test_a_depth_map_of_eight_bits_is_refused(write, entry, tmp_path) -> None:
    cv2.imwrite(str(tmp_path / 'depth.png'), np.ones((6, 8), np.uint8))
    with pytest.raises(InputError, match='uint8, expected a 16-bit PNG'):
        load_frame_set(write(entry)).frames[0].load_depth_map('map')


def test_arrays_that_need_unpickling_are_refused(write, entry, tmp_path) -> None:
    np.savez(tmp_path / 'points.npz', xyz=np.array([{}], object))
    with pytest.raises(InputError, match=r'points\.npz \(xyz\.npy\) cannot be read'):
        load_frame_set(write(entry)).frames[0].load_points('cloud')


def test_a_garbled_archive_is_refused_whatever_is_wrong_with_it(write, entry, tmp_path) -> None:
    path = tmp_path / 'points.npz'
    np.savez_compressed(path, xyz=np.zeros((20, 3), np.float32))
    frame = load_frame_set(write(entry)).frames[0]
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(200):
        garbled = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for i in rng.integers(0, len(garbled), 3):
            garbled[i] = rng.integers(256)
        path.write_bytes(garbled)
        with suppress(InputError):  # anything else that is raised fails the test
            assert frame.load_points('cloud')['xyz'].shape[1:] == (3,)


@pytest.mark.parametrize(
    'arrays',
    [
        {'points': np.zeros((3, 3), np.float32)},
        {'xyz': np.zeros((3, 2), np.float32)},
        {'xyz': np.zeros((3, 3), int)},
        {'xyz': np.zeros((3, 3), np.float32), 'ring': np.zeros(2)},
        {'xyz': np.zeros((3, 3), np.float32), 'rcs': np.zeros((3, 2))},
        {'xyz': np.zeros((3, 3), np.float32), 'intensity': ['low', 'low', 'high']},
    ],
)
def test_points_of_the_wrong_shape_are_refused(write, entry, tmp_path, arrays: dict) -> None:
    np.savez(tmp_path / 'points.npz', **arrays)
    with pytest.raises(InputError, match=r'points\.npz'):
        load_frame_set(write(entry)).frames[0].load_points('cloud')


@pytest.mark.parametrize('depth', [np.ones((6, 8, 1)), np.full((6, 8), 'far')])
def test_ground_truth_that_is_no_plane_of_numbers_is_refused(
    write, entry, tmp_path, depth: np.ndarray
) -> None:
    np.savez(tmp_path / 'gt.npz', depth=depth)
    entry['gt'] |= {'path': 'gt.npz', 'scale': 1.0}
    frame = load_frame_set(write(entry)).frames[0]
    with pytest.raises(InputError, match=r'gt\.npz: found \(6, 8.*expected numbers'):
        frame.load_ground_truth()


def test_points_need_a_camera(write, entry) -> None:
    entry['K'] = None
    with pytest.raises(InputError, match='no K'):
        load_frame_set(write(entry)).frames[0].load_prompt('cloud')


def test_an_unknown_prompt_is_answered_with_the_known_ones(write, entry) -> None:
    with pytest.raises(InputError, match='it has map, cloud, phone'):
        load_frame_set(write(entry)).frames[0].load_prompt('lidar')


def test_a_set_and_a_folder_of_sets_are_found_once(write, entry, tmp_path) -> None:
    folder = write(entry)
    sets = tmp_path / 'sets'
    sets.mkdir()
    (sets / 'set').symlink_to(folder)
    assert len(find_frame_sets([sets])) == 1
    assert len(find_frame_sets([folder, sets, folder])) == 1


def test_a_folder_without_sets_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r'neither a frame set nor a folder of .*depth replay'):
        find_frame_sets([tmp_path])


def test_a_path_that_is_no_folder_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r'is not a folder.*a bag is for `metric-depth replay`'):
        find_frame_sets([tmp_path / 'nothing'])


def test_every_evaluation_set_can_be_opened_and_every_prompt_loaded(shared) -> None:
    frame_sets = find_frame_sets([shared / 'data'])
    assert len(frame_sets) == 14
    for frame_set in frame_sets:
        frame = frame_set.frames[0]
        assert frame.load_image().shape == (frame.height, frame.width, 3)
        for name in frame.prompt_names(scored_only=False):
            assert len(frame.load_prompt(name)), (frame_set.name, name)


@pytest.mark.parametrize('orientation', [1, 3, 6])
def test_a_picture_is_not_turned_by_its_exif_orientation(orientation, tmp_path) -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:8] = 255
    jpeg = cv2.imencode('.jpg', picture)[1].tobytes()
    tag = struct.pack('<HHHIHHI', 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b'Exif\0\0II*\0\x08\0\0\0' + tag
    path = tmp_path / 'turned.jpg'
    path.write_bytes(jpeg[:2] + b'\xff\xe1' + struct.pack('>H', len(exif) + 2) + exif + jpeg[2:])
    read = load_color_image(path)
    assert read.shape == (40, 60, 3)
    assert read[:6].mean() > 200 > 50 > read[20:].mean()
