# SPDX-License-Identifier: Apache-2.0
"""Frame sets turned into bags."""

import json
import re
import shutil

import numpy as np
import pytest

from metric_depth_ros.bags.extrinsics import read_static_transforms
from metric_depth_ros.bags.from_frameset import write_frame_set
from metric_depth_ros.bags.messages import stamp_of
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.cli.main import main
from metric_depth_ros.codecs.camera_info import camera_from_info
from metric_depth_ros.codecs.image import decode_color, decode_depth
from metric_depth_ros.codecs.pointcloud import decode_xyz, field_names
from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets import load_frame_set
from metric_depth_ros.geometry.rigid import inverse
from metric_depth_ros.ros.parameters import DEPTH_NODE


def messages(bag, topic):
    with BagReader(bag) as reader:
        return [message for _, message in reader.messages([topic])]


def edited(folder, tmp_path, change):
    """Return a copy of the frame set whose index went through `change`."""
    copy = tmp_path / 'edited'
    shutil.copytree(folder, copy)
    index = json.loads((copy / 'frames.json').read_text())
    change(index)
    (copy / 'frames.json').write_text(json.dumps(index))
    return load_frame_set(copy)


@pytest.fixture
def frame_set(frame_set_folder):
    return load_frame_set(frame_set_folder)


def test_images_and_cameras_come_back_as_the_set_has_them(frame_set, tmp_path):
    write_frame_set(frame_set, tmp_path / 'bag')
    images = messages(tmp_path / 'bag', '/camera/image_raw')
    cameras = messages(tmp_path / 'bag', '/camera/camera_info')
    for frame, image, camera in zip(frame_set.frames, images, cameras, strict=True):
        np.testing.assert_array_equal(decode_color(image), frame.load_image())
        np.testing.assert_array_equal(camera_from_info(camera).K, frame.camera.K)
        assert stamp_of(image) == stamp_of(camera) == frame.stamp_ns


def test_ground_truth_keeps_only_the_depths_that_count(frame_set, tmp_path):
    write_frame_set(frame_set, tmp_path / 'bag')
    for frame, message in zip(
        frame_set.frames, messages(tmp_path / 'bag', '/ground_truth/depth'), strict=True
    ):
        np.testing.assert_array_equal(decode_depth(message), frame.load_ground_truth())


def test_a_depth_map_prompt_becomes_a_depth_camera(frame_set, tmp_path):
    summary = write_frame_set(frame_set, tmp_path / 'bag')
    message = messages(tmp_path / 'bag', '/camera/depth/image_raw')[1]
    assert summary.prompt == 'rgbd'
    assert message.encoding == '16UC1'
    np.testing.assert_allclose(decode_depth(message), frame_set.frames[1].load_depth_map('rgbd'))


@pytest.mark.parametrize('kind', ['lidar', 'random', 'rgbd', 'lowres', 'points of unknown origin'])
def test_the_command_says_with_what_a_replay_has_the_prompt_of_an_evaluation(
    frame_set_folder, tmp_path, capsys, kind
):
    name = 'lidar' if kind.startswith('points') else 'rgbd'

    def of_kind(index):
        for frame in index['frames']:
            frame['prompts'][name]['kind'] = 'random' if name == 'lidar' else kind

    edited(frame_set_folder, tmp_path, of_kind)
    command = ['make-bag', str(tmp_path / 'edited'), str(tmp_path / 'bag'), '--prompt', name]
    assert main(command) == 0
    told = re.findall(r'-p (\S+)', capsys.readouterr().out)
    assert {parameter.partition(':=')[0] for parameter in told} <= DEPTH_NODE.rows.keys()
    projected, shown = 'prompt.depth_alignment:=projected', 'prompt.remove_occluded:=false'
    sigma = ['prompt.sigma_m:=0.01', 'prompt.sigma_rel:=0.002']
    assert (
        told
        == {
            'lidar': [projected],
            'random': [projected, shown, *sigma],
            'rgbd': [],
            'lowres': [projected, shown, 'prompt.sigma_m:=0.0', 'prompt.sigma_rel:=0.02'],
            'points of unknown origin': sigma,
        }[kind]
    )


def test_a_depth_map_of_another_unit_is_not_rounded_to_millimeters(frame_set_folder, tmp_path):
    def quarter_millimeters(index):
        for frame in index['frames']:
            frame['prompts']['rgbd']['scale'] = 0.00025

    frame_set = edited(frame_set_folder, tmp_path, quarter_millimeters)
    write_frame_set(frame_set, tmp_path / 'bag')
    message = messages(tmp_path / 'bag', '/camera/depth/image_raw')[1]
    np.testing.assert_array_equal(
        decode_depth(message), frame_set.frames[1].load_depth_map('rgbd')
    )


def test_a_points_prompt_becomes_a_lidar_with_its_place_on_the_robot(frame_set, tmp_path):
    write_frame_set(frame_set, tmp_path / 'bag', prompt='lidar')
    cloud = messages(tmp_path / 'bag', '/lidar/points')[2]
    tree = read_static_transforms(tmp_path / 'bag')
    T_camera_lidar = (
        inverse(tree['base_link', 'camera_optical_frame']) @ tree['base_link', 'lidar']
    )
    frame = frame_set.frames[2]
    assert field_names(cloud) == ['x', 'y', 'z', 'intensity', 'ring']
    np.testing.assert_array_equal(decode_xyz(cloud), frame.load_points('lidar')['xyz'])
    np.testing.assert_allclose(T_camera_lidar, frame.T_camera_sensor('lidar'), atol=1e-9)


def test_a_given_rate_replaces_the_stamps(frame_set, tmp_path):
    summary = write_frame_set(frame_set, tmp_path / 'bag', rate_hz=20.0)
    stamps = [stamp_of(m) for m in messages(tmp_path / 'bag', '/camera/image_raw')]
    assert summary.rate_hz == 20.0
    assert np.diff(stamps).tolist() == [50_000_000, 50_000_000]


def test_frames_unrelated_in_time_follow_each_other_at_the_default_rate(
    frame_set_folder, tmp_path
):
    frame_set = edited(frame_set_folder, tmp_path, lambda index: index.pop('rate_hz'))
    write_frame_set(frame_set, tmp_path / 'bag')
    stamps = [stamp_of(m) for m in messages(tmp_path / 'bag', '/camera/image_raw')]
    assert np.diff(stamps).tolist() == [100_000_000, 100_000_000]
    assert stamps[0] > 0


@pytest.mark.parametrize('of_one_instant', [True, False])
def test_one_camera_of_several_is_chosen_by_name(frame_set_folder, tmp_path, of_one_instant):
    def two_cameras(index):
        index['multi_camera'] = of_one_instant
        for frame, name in zip(index['frames'], ('left', 'right', 'left'), strict=True):
            frame['camera'] = name

    frame_set = edited(frame_set_folder, tmp_path, two_cameras)
    assert write_frame_set(frame_set, tmp_path / 'first').camera == 'left'
    assert write_frame_set(frame_set, tmp_path / 'second', camera='right').frames == 1
    with pytest.raises(InputError, match=r'rear.*left, right'):
        write_frame_set(frame_set, tmp_path / 'third', camera='rear')


def test_an_unknown_prompt_is_named_with_those_there_are(frame_set, tmp_path):
    with pytest.raises(InputError, match=r'radar.*lidar, rgbd'):
        write_frame_set(frame_set, tmp_path / 'bag', prompt='radar')


def test_a_frame_without_camera_matrix_is_refused(frame_set_folder, tmp_path):
    def forget(index):
        index['frames'][1]['K'] = None

    with pytest.raises(InputError, match='frame 1 of tiny has no camera matrix'):
        write_frame_set(edited(frame_set_folder, tmp_path, forget), tmp_path / 'bag')


@pytest.mark.parametrize(
    ('key', 'value', 'problem'),
    [
        ('camera', ['left'], 'expected the name of a camera'),
        ('stamp_ns', -1, 'the stamp -1 ns cannot be written'),
        ('stamp_ns', 2**31 * 10**9, 'cannot be written'),
        ('T_ego_camera', 'front', 'T_ego_camera: expected 4 rows'),
    ],
)
def test_a_frame_that_no_message_can_hold_is_refused_before_there_is_a_bag(
    frame_set_folder, tmp_path, key, value, problem
):
    def spoil(index):
        index['frames'][0][key] = value

    with pytest.raises(InputError, match=problem):
        write_frame_set(edited(frame_set_folder, tmp_path, spoil), tmp_path / 'bag')
    assert not (tmp_path / 'bag').exists()


@pytest.mark.parametrize(
    ('stamp_ns', 'problem'),
    [
        (lambda frames: frames[0]['stamp_ns'], 'frames 0 and 2 of tiny have the same stamp_ns'),
        (lambda frames: None, '1 of 3 frames of tiny have no stamp_ns, expected all or none'),
    ],
)
def test_a_stamp_that_is_missing_or_not_of_its_own_is_refused_unless_a_rate_replaces_it(
    frame_set_folder, tmp_path, stamp_ns, problem
):
    def spoil(index):
        index['frames'][2]['stamp_ns'] = stamp_ns(index['frames'])

    frame_set = edited(frame_set_folder, tmp_path, spoil)
    with pytest.raises(InputError, match=problem):
        write_frame_set(frame_set, tmp_path / 'bag')
    assert not (tmp_path / 'bag').exists()
    assert write_frame_set(frame_set, tmp_path / 'bag', rate_hz=5.0).frames == 3


def test_frames_without_the_prompt_are_counted(frame_set_folder, tmp_path, capsys):
    edited(frame_set_folder, tmp_path, lambda index: index['frames'][1]['prompts'].pop('rgbd'))
    command = ['make-bag', str(tmp_path / 'edited'), str(tmp_path / 'bag'), '--prompt', 'rgbd']
    assert main(command) == 0
    said = capsys.readouterr().out
    assert '2 frames of tiny' in said
    assert 'Frames left out, without prompt rgbd: 1' in said


def test_a_sensor_that_moves_against_the_camera_is_refused(frame_set_folder, tmp_path):
    def move(index):
        index['frames'][2]['prompts']['lidar']['T_camera_sensor'][0][3] += 0.5

    with pytest.raises(InputError, match='frame 2 has another T_camera_sensor'):
        write_frame_set(edited(frame_set_folder, tmp_path, move), tmp_path / 'bag', prompt='lidar')


def test_a_camera_that_moves_in_the_vehicle_is_refused(frame_set_folder, tmp_path):
    def move(index):
        index['frames'][2]['T_ego_camera'] = np.eye(4).tolist()

    with pytest.raises(InputError, match='frame 2 has another T_ego_camera than frame 0'):
        write_frame_set(edited(frame_set_folder, tmp_path, move), tmp_path / 'bag', prompt='rgbd')
    assert not (tmp_path / 'bag').exists()


@pytest.mark.parametrize(
    'change', [{'kind': 'radar'}, {'format': 'depth_map', 'kind': 'lidar', 'path': '1_depth.png'}]
)
def test_a_prompt_that_changes_its_sensor_is_refused(frame_set_folder, tmp_path, change):
    def spoil(index):
        index['frames'][1]['prompts']['lidar'].update(change)

    with pytest.raises(InputError, match=r"prompt 'lidar' of frame 1 is .* as in frame 0"):
        write_frame_set(
            edited(frame_set_folder, tmp_path, spoil), tmp_path / 'bag', prompt='lidar'
        )
    assert not (tmp_path / 'bag').exists()


def test_the_command_says_what_it_wrote(frame_set_folder, tmp_path, capsys):
    assert main(['make-bag', str(frame_set_folder), str(tmp_path / 'bag')]) == 0
    assert '3 frames of tiny, prompt rgbd, 5 Hz' in capsys.readouterr().out


def test_the_command_answers_a_wrong_folder_with_exit_code_2(tmp_path, capsys):
    assert main(['make-bag', str(tmp_path), str(tmp_path / 'bag')]) == 2
    assert 'frames.json' in capsys.readouterr().err


def test_a_set_with_a_damaged_image_leaves_no_bag_behind(frame_set_folder, tmp_path):
    frame_set = edited(frame_set_folder, tmp_path, lambda index: None)
    (tmp_path / 'edited' / '2.png').write_bytes(b'cut short')
    for _ in range(2):
        with pytest.raises(InputError, match=r'2\.png'):
            write_frame_set(frame_set, tmp_path / 'bag')
    assert not (tmp_path / 'bag').exists()


@pytest.mark.parametrize(
    ('prompt', 'topic'), [('lidar', '/lidar/points'), ('rgbd', '/camera/depth/image_raw')]
)
def test_a_sensor_with_stamps_of_its_own_keeps_them(frame_set_folder, tmp_path, prompt, topic):
    def sooner(index):
        for frame in index['frames']:
            frame['prompts'][prompt]['stamp_ns'] = frame['stamp_ns'] - 60_000_000

    frame_set = edited(frame_set_folder, tmp_path, sooner)
    write_frame_set(frame_set, tmp_path / 'bag', prompt=prompt)
    stamps = [stamp_of(m) for m in messages(tmp_path / 'bag', topic)]
    assert stamps == [frame.stamp_ns - 60_000_000 for frame in frame_set.frames]


def test_invented_stamps_are_shared_by_image_and_sensor(frame_set_folder, tmp_path):
    def unrelated(index):
        index.pop('rate_hz')
        index['frames'][1]['prompts']['lidar']['stamp_ns'] = 77

    frame_set = edited(frame_set_folder, tmp_path, unrelated)
    write_frame_set(frame_set, tmp_path / 'bag', prompt='lidar')
    images, clouds = (
        [stamp_of(m) for m in messages(tmp_path / 'bag', topic)]
        for topic in ('/camera/image_raw', '/lidar/points')
    )
    assert clouds == images


def test_the_command_takes_names_with_brackets(frame_set_folder, tmp_path, capsys):
    edited(frame_set_folder, tmp_path, lambda index: index.update(name='room [/b]'))
    assert main(['make-bag', str(tmp_path / 'edited'), str(tmp_path / 'bag [/i]')]) == 0
    assert 'room [/b] to' in capsys.readouterr().err
