# SPDX-License-Identifier: Apache-2.0
"""Extrinsics from files: our YAML, KITTI's text files, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.calibration_files import (
    read_kitti_calibration,
    read_transforms_yaml,
)
from metric_depth_ros.ros.extrinsics import (
    StaticTree,
    check_places,
    create_extrinsics,
    placed_sources,
)
from metric_depth_ros.ros.parameters import ExtrinsicsSettings, PromptSettings

YAML = """
transforms:
  - parent: base
    child: camera
    translation: [1.0, 0.0, 2.0]
    rotation: [-0.5, 0.5, -0.5, 0.5]
  - parent: base
    child: lidar
    matrix: [[1, 0, 0, 0.5], [0, 1, 0, 0.0], [0, 0, 1, 2.5]]
"""
VELODYNE = [0, -1, 0, 0.1, 0, 0, -1, -0.2, 1, 0, 0, -0.3]
P2 = [700.0, 0.0, 600.0, 70.0, 0.0, 700.0, 180.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def line(name, values):
    return f'{name}: {" ".join(map(str, values))}\n'


def written(path, text):
    path.write_text(text)
    return path


def looked_up(extrinsics, camera, sensor):
    return extrinsics.lookup(camera, 0, sensor, 0)


def test_yaml_transforms_are_chained_between_siblings(tmp_path):
    path = written(tmp_path / 'rig.yaml', YAML)
    extrinsics = create_extrinsics(ExtrinsicsSettings(source='file', path=str(path)), None)
    T = looked_up(extrinsics, 'camera', 'lidar')
    # 10 m in front of the LiDAR is 9.5 m in front of the camera and 0.5 m above it (y is down).
    np.testing.assert_allclose(T @ [10.0, 0.0, 0.0, 1.0], [0.0, -0.5, 9.5, 1.0], atol=1e-12)


def test_the_way_back_is_the_inverse(tmp_path):
    tree = StaticTree(read_transforms_yaml(written(tmp_path / 'rig.yaml', YAML)), 'rig')
    there, back = looked_up(tree, 'camera', 'lidar'), looked_up(tree, 'lidar', 'camera')
    np.testing.assert_allclose(there @ back, np.eye(4), atol=1e-12)


def test_a_frame_to_itself_is_identity():
    np.testing.assert_array_equal(looked_up(StaticTree({}, 'x'), 'camera', 'camera'), np.eye(4))


@pytest.mark.parametrize('frames', [('', ''), ('camera', ''), ('/', 'camera')])
def test_a_frame_without_a_name_is_no_place_and_the_driver_is_told_of(frames):
    tree = StaticTree({('camera', 'lidar'): np.eye(4)}, 'rig')
    with pytest.raises(InputError, match=r'header\.frame_id.*parameter frame_id') as e:
        looked_up(tree, *frames)
    assert e.value.fault == 'transform_missing'


def test_leading_slashes_of_old_drivers_do_not_matter(tmp_path):
    tree = StaticTree(read_transforms_yaml(written(tmp_path / 'rig.yaml', YAML)), 'rig')
    np.testing.assert_array_equal(
        looked_up(tree, '/camera', 'lidar'), looked_up(tree, 'camera', '/lidar')
    )


def test_a_missing_frame_is_named_with_those_that_are_known(tmp_path):
    tree = StaticTree(read_transforms_yaml(written(tmp_path / 'rig.yaml', YAML)), 'rig')
    with pytest.raises(InputError, match=r"'radar' to 'camera' in rig.*base, camera, lidar") as e:
        looked_up(tree, 'camera', 'radar')
    assert e.value.fault == 'transform_missing'


def test_kitti_odometry_calibration_includes_the_baseline(tmp_path):
    path = written(tmp_path / 'calib.txt', line('P2', P2) + line('Tr', VELODYNE))
    T = read_kitti_calibration(path, 2)
    np.testing.assert_allclose(T @ [10.0, 0.0, 0.0, 1.0], [0.2, -0.2, 9.7, 1.0], atol=1e-12)


def test_kitti_object_calibration_turns_into_the_rectified_frame(tmp_path):
    turn = [0, -1, 0, 1, 0, 0, 0, 0, 1]
    text = line('P2', P2) + line('R0_rect', turn) + line('Tr_velo_to_cam', VELODYNE)
    T = read_kitti_calibration(written(tmp_path / 'calib.txt', text), 2)
    np.testing.assert_allclose(T @ [10.0, 0.0, 0.0, 1.0], [0.3, 0.1, 9.7, 1.0], atol=1e-12)


def test_kitti_raw_calibration_reads_the_file_beside_it(tmp_path):
    matrix = np.reshape(VELODYNE, (3, 4))
    text = 'calib_time: 15-Mar-2012 11:37:16\n'
    text += line('R', matrix[:, :3].ravel()) + line('T', matrix[:, 3])
    path = written(tmp_path / 'calib_velo_to_cam.txt', text)
    beside = line('R_rect_00', np.eye(3).ravel()) + line('P_rect_02', P2)
    written(tmp_path / 'calib_cam_to_cam.txt', beside)
    T = read_kitti_calibration(path, 2)
    np.testing.assert_allclose(T @ [10.0, 0.0, 0.0, 1.0], [0.2, -0.2, 9.7, 1.0], atol=1e-12)


def test_kitti_transform_holds_for_whatever_the_frames_are_called(tmp_path):
    path = written(tmp_path / 'calib.txt', line('P2', P2) + line('Tr', VELODYNE))
    extrinsics = create_extrinsics(ExtrinsicsSettings(source='file', path=str(path)), None)
    assert looked_up(extrinsics, 'cam', 'velodyne')[0, 3] == pytest.approx(0.2)


SEVERAL = pytest.mark.parametrize(
    ('cameras', 'sources', 'alignment'),
    [
        (('front', 'rear'), ('points',), 'auto'),
        ((), ('points', 'radar'), 'auto'),
        (('front',), ('points', 'sensor_depth'), 'auto'),
    ],
)
ONE = pytest.mark.parametrize(
    ('cameras', 'sources', 'alignment'),
    [
        (('front',), ('points',), 'auto'),
        ((), ('points', 'sensor_depth'), 'registered'),
        ((), ('sensor_depth',), 'unregistered'),
    ],
)


def check(path, cameras, sources, alignment):
    placed = placed_sources(PromptSettings(sources=sources, depth_alignment=alignment))
    check_places(ExtrinsicsSettings(source='file', path=path), cameras, placed)


@SEVERAL
def test_a_kitti_transform_is_not_that_of_several_sensors(cameras, sources, alignment):
    with pytest.raises(InputError, match=r'calib\.txt .* one transform') as refusal:
        check('calib.txt', cameras, sources, alignment)
    assert refusal.value.fault == 'extrinsics'


@ONE
def test_a_kitti_transform_is_that_of_one_sensor_in_one_camera(cameras, sources, alignment):
    check('calib.txt', cameras, sources, alignment)


@SEVERAL
def test_a_file_with_names_places_several_sensors(cameras, sources, alignment):
    check('rig.yaml', cameras, sources, alignment)


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('transforms: [', 'is no YAML'),
        ('[]', "no list 'transforms'"),
        ('transforms: []', "no list 'transforms'"),
        ('transforms: [{parent: a}]', "'parent' and 'child'"),
        ('transforms: [{parent: a, child: b}]', "'matrix'"),
        ('transforms: [{parent: a, child: b, matrix: [[1, 2], [3, 4]]}]', 'shape'),
        ('transforms: [{parent: a, child: b, matrix: [[1, 2], [3]]}]', 'transform 0'),
        ('transforms: [{parent: a, child: b, matrix: {x: 1}}]', 'transform 0'),
        (
            'transforms: [{parent: a, child: b, translation: [x, 0, 0], rotation: [0, 0, 0, 1]}]',
            'could not convert',
        ),
        (
            'transforms: [{parent: a, child: b, translation: [0, 0, 0], rotation: [0, 0, 0, 0]}]',
            'quaternion that is not zero',
        ),
        (
            'transforms: [{parent: a, child: b, translation: [0, 0, 0, 0], rotation: [0, 0, 1]}]',
            r'translation is \[0, 0, 0, 0\], expected a list of 3 numbers',
        ),
        (
            'transforms: [{parent: a, child: b, translation: [0, 0, 0], rotation: [0, 0, 1]}]',
            r'rotation is \[0, 0, 1\], expected a list of 4 numbers',
        ),
        ('transforms: [{parent: a, child: b, translation: 1, rotation: 2}]', 'translation is 1,'),
    ],
)
def test_a_bad_yaml_is_refused_in_words(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read_transforms_yaml(written(tmp_path / 'rig.yaml', text))


def test_a_missing_kitti_entry_is_named(tmp_path):
    path = written(tmp_path / 'calib.txt', line('Tr', VELODYNE))
    with pytest.raises(InputError, match='no entry P2'):
        read_kitti_calibration(path, 2)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r'nowhere\.yaml does not exist \(parameter'):
        read_transforms_yaml(tmp_path / 'nowhere.yaml')
    with pytest.raises(InputError, match=r'nowhere\.txt does not exist \(parameter'):
        read_kitti_calibration(tmp_path / 'nowhere.txt', 2)


def test_the_example_of_the_docs_is_a_calibration_and_errors_say_where_it_is(tmp_path):
    text = (Path(__file__).parents[2] / 'docs' / 'INPUTS.md').read_text()
    section = text.partition('\n## Extrinsics\n')[2].partition('\n## ')[0]
    example = section.partition('```yaml\n')[2].partition('```')[0]
    transforms = read_transforms_yaml(written(tmp_path / 'example.yaml', example))
    tree = StaticTree(transforms, 'the example')
    # 10 m in front of the LiDAR (x) is 10 m in front of the camera (z), but for its place.
    ahead = looked_up(tree, 'camera_optical_frame', 'lidar') @ [10.0, 0.0, 0.0, 1.0]
    np.testing.assert_allclose(ahead, [0.27, -0.08, 9.94, 1.0], atol=1e-12)
    with pytest.raises(InputError, match=r'docs/INPUTS\.md, section Extrinsics'):
        read_transforms_yaml(written(tmp_path / 'empty.yaml', '{}'))


@pytest.mark.parametrize(
    ('entries', 'said'),
    [
        ({'P2': [0.0] * 12}, 'no projection'),
        ({'P2': [float('nan'), *P2[1:]]}, 'P2 of 12 finite numbers'),
        ({'R0_rect': [1.0, 0.0, 0.0]}, 'R0_rect of 9 finite numbers'),
    ],
)
def test_kitti_entries_that_are_no_projection_or_rotation_are_refused(tmp_path, entries, said):
    given = {'P2': P2, 'Tr_velo_to_cam': VELODYNE, **entries}
    path = written(tmp_path / 'calib.txt', ''.join(line(*entry) for entry in given.items()))
    with pytest.raises(InputError, match=said):
        read_kitti_calibration(path, 2)
