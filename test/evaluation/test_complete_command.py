# SPDX-License-Identifier: Apache-2.0
import json
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from metric_depth_ros.cli.main import main
from metric_depth_ros.errors import InputError
from metric_depth_ros.evaluation.result_files import to_millimeters, write_results
from metric_depth_ros.framesets.loose_files import read_camera, read_prompt, read_transform
from metric_depth_ros.framesets.snapshots import Snapshot, write_snapshot
from metric_depth_ros.framesets.stored_arrays import load_color_image
from metric_depth_ros.geometry.distortion import Distortion
from metric_depth_ros.types import DepthEstimate, Frame

CALIBRATION = """
image_width: 64
image_height: 48
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, 0.0, 0.0, 0.0, 0.0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [49, 0, 31, 0, 0, 49, 23, 0, 0, 0, 1, 0]}
"""
K = [[50.0, 0.0, 31.5], [0.0, 50.0, 23.5], [0.0, 0.0, 1.0]]


@pytest.fixture
def camera_file(tmp_path: Path) -> Path:
    path = tmp_path / 'camera.json'
    path.write_text(json.dumps({'width': 64, 'height': 48, 'K': K}))
    return path


def complete(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'metric_depth_ros.cli.main', 'complete', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_complete_writes_depth_cloud_and_picture(mini_set, camera_file, tmp_path) -> None:
    open3d = pytest.importorskip('open3d', exc_type=ImportError)
    out = tmp_path / 'out'
    done = complete(
        *(mini_set / '0.png', '--camera', camera_file, '--prompt', mini_set / '0_grid.png'),
        *('-o', out, '--estimator', 'nearest'),
    )
    assert done.returncode == 0, done.stderr
    millimeters = cv2.imread(str(out / 'depth.png'), cv2.IMREAD_UNCHANGED)
    stored = np.load(out / 'depth.npz')
    assert (millimeters.dtype, millimeters.shape) == (np.uint16, (48, 64))
    assert set(stored.files) == {'depth', 'confidence', 'K'}
    np.testing.assert_allclose(millimeters / 1000.0, stored['depth'], atol=5e-4)
    cloud = open3d.io.read_point_cloud(str(out / 'cloud.ply'))
    assert len(cloud.points) == 48 * 64
    assert cloud.has_colors()
    assert cv2.imread(str(out / 'picture.png')) is not None


def test_a_snapshot_of_a_frame_without_depth_is_computed_again(
    mini_set, camera_file, tmp_path, capsys
) -> None:
    open3d = pytest.importorskip('open3d', exc_type=ImportError)
    frame = Frame(0, 'camera', load_color_image(mini_set / '0.png'), read_camera(camera_file))
    unknown = np.full((48, 64), np.nan, np.float32)
    snapshot = Snapshot(
        frame, unknown, None, frame.camera, 'classical:quality', {'estimator': 'classical'}
    )
    write_snapshot(tmp_path / 'snapshot', snapshot)
    out = tmp_path / 'out'
    assert main(['repeat', str(tmp_path / 'snapshot'), '-o', str(out)]) == 0
    said = capsys.readouterr().out
    assert 'bit for bit' in said
    assert 'no pixel has a depth' in said
    assert {path.name for path in out.iterdir()} == {
        *('depth.png', 'depth.npz', 'cloud.ply', 'picture.png')
    }
    cloud = open3d.t.io.read_point_cloud(str(out / 'cloud.ply'))
    assert cloud.point.positions.shape == (0, 3)


def test_a_depth_map_is_not_taken_for_the_color_image(mini_set, tmp_path, capsys) -> None:
    assert main(['complete', str(mini_set / '0_grid.png'), '-o', str(tmp_path / 'out')]) == 2
    assert '0_grid.png is a 16-bit gray picture' in capsys.readouterr().err


def test_a_folder_is_no_image_and_is_referred_to_the_command_for_it(tmp_path, capsys) -> None:
    out = tmp_path / 'out'
    assert main(['complete', str(tmp_path), '-o', str(out)]) == 2
    assert f'metric-depth repeat {tmp_path}' in capsys.readouterr().err
    assert not out.exists()


def test_what_is_computed_again_is_written_only_where_that_is_asked_for(
    mini_set, camera_file, tmp_path, capsys
) -> None:
    frame = Frame(0, 'camera', load_color_image(mini_set / '0.png'), read_camera(camera_file))
    other = np.full((48, 64), 2.0, np.float32)
    write_snapshot(
        tmp_path / 'snapshot',
        Snapshot(frame, other, None, frame.camera, 'nearest', {'estimator': 'nearest'}),
    )
    before = sorted((tmp_path / 'snapshot').iterdir()), sorted(tmp_path.iterdir())
    assert main(['repeat', str(tmp_path / 'snapshot')]) == 1
    assert '3072 of 3072 pixels differ' in capsys.readouterr().out
    assert (sorted((tmp_path / 'snapshot').iterdir()), sorted(tmp_path.iterdir())) == before


def test_an_estimator_without_the_prompt_that_it_needs_is_refused(
    mini_set, camera_file, tmp_path, capsys
) -> None:
    out = tmp_path / 'out'
    arguments = [mini_set / '0.png', '--camera', camera_file, '-o', out, '--estimator', 'nearest']
    assert main(['complete', *map(str, arguments)]) == 2
    said = capsys.readouterr().err
    assert '--estimator nearest finds no depth without a prompt' in said
    assert '--prompt' in said
    assert not out.exists()


def test_an_input_that_is_refused_leaves_no_empty_folder(mini_set, tmp_path) -> None:
    out = tmp_path / 'of_all' / 'out'
    camera = ['--camera', str(tmp_path / 'none.yaml')]
    assert main(['complete', str(mini_set / '0.png'), *camera, '-o', str(out)]) == 2
    assert not out.parent.exists()


def test_a_camera_of_another_size_is_blamed_and_not_the_prompt(mini_set, tmp_path, capsys) -> None:
    camera = tmp_path / 'camera.json'
    camera.write_text(
        json.dumps({'width': 32, 'height': 24, 'K': [[25, 0, 16], [0, 25, 12], [0, 0, 1]]})
    )
    files = [mini_set / '0.png', '--camera', camera, '--prompt', mini_set / '0_grid.png']
    assert main(['complete', *map(str, [*files, '-o', tmp_path / 'out'])]) == 2
    said = capsys.readouterr().err
    assert 'the image is 64x48 but its camera is 32x24' in said
    assert 'prompt' not in said


@pytest.mark.parametrize(
    ('depth', 'message'),
    [
        (np.linspace(800.0, 4000.0, 48 * 64), r'are 800 to 4000 m\. Are they millimeters\?'),
        (np.zeros(48 * 64), 'all are 0, negative or not finite'),
    ],
)
def test_a_depth_map_without_a_usable_depth_is_refused_with_what_it_holds(
    depth, message, camera_file, tmp_path
) -> None:
    np.save(tmp_path / 'depth.npy', depth.reshape(48, 64).astype(np.float32))
    with pytest.raises(InputError, match=message):
        read_prompt(tmp_path / 'depth.npy', read_camera(camera_file))


def test_a_full_disk_leaves_the_results_of_before(mini_set, tmp_path, camera_file) -> None:
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'depth.npz').write_text('of before')
    camera = read_camera(camera_file)
    frame = Frame(0, 'camera', load_color_image(mini_set / '0.png'), camera)
    estimate = DepthEstimate(np.full((48, 64), 2.0, np.float32), None, camera, 'nearest')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # depth.png is smaller and fits, the cloud does not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match='File too large'):
            write_results(out, frame, estimate)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [
        ('depth.npz', 'of before')
    ]


def test_complete_says_what_16_bit_millimeters_cannot_hold(
    mini_set, camera_file, tmp_path
) -> None:
    pytest.importorskip('open3d', exc_type=ImportError)
    np.save(tmp_path / 'far.npy', np.full((48, 64), 80.0, np.float32))
    done = complete(
        *(mini_set / '0.png', '--camera', camera_file, '--prompt', tmp_path / 'far.npy'),
        *('-o', tmp_path / 'out', '--estimator', 'nearest'),
    )
    assert done.returncode == 0, done.stderr
    assert '3072 pixels are farther than 65.535 m' in done.stdout
    assert not cv2.imread(str(tmp_path / 'out' / 'depth.png'), cv2.IMREAD_UNCHANGED).any()


def test_complete_says_what_cannot_be_written(mini_set, camera_file, tmp_path) -> None:
    pytest.importorskip('open3d', exc_type=ImportError)
    (tmp_path / 'out' / 'depth.png').mkdir(parents=True)
    done = complete(
        *(mini_set / '0.png', '--camera', camera_file, '--prompt', mini_set / '0_grid.png'),
        *('-o', tmp_path / 'out', '--estimator', 'nearest'),
    )
    assert done.returncode == 2
    assert 'depth.png is in the way' in done.stderr
    assert 'Traceback' not in done.stderr


def test_complete_refuses_a_missing_prompt(mini_set, camera_file, tmp_path) -> None:
    done = complete(
        *(mini_set / '0.png', '--camera', camera_file, '--prompt', tmp_path / 'none.npz'),
        *('-o', tmp_path / 'out'),
    )
    assert done.returncode == 2
    assert 'none.npz does not exist' in done.stderr
    assert 'Traceback' not in done.stderr


def test_millimeters_are_zero_where_depth_is_unknown_or_does_not_fit() -> None:
    depth = np.array([[np.nan, np.inf, -1.0, 0.0, 65.5349, 65.536, 1.0004]], np.float32)
    assert to_millimeters(depth).tolist() == [[0, 0, 0, 0, 65535, 0, 1000]]


def test_a_ros_calibration_keeps_its_lens_and_projection(tmp_path) -> None:
    path = tmp_path / 'camera.yaml'
    path.write_text(CALIBRATION)
    camera = read_camera(path)
    assert camera.size == (64, 48)
    assert camera.distortion.coefficients == (0.1, 0.0, 0.0, 0.0, 0.0)
    assert camera.P[0, 0] == 49.0


@pytest.mark.parametrize(
    'lens',
    [
        'distortion: {model: equidistant, coefficients: [0.1, 0.01, 0.0, 0.0]}',  # of a frame set
        'distortion_model: equidistant\ndistortion_coefficients: [0.1, 0.01, 0.0, 0.0]',
        'distortion_model: equidistant\nD: {rows: 1, cols: 4, data: [0.1, 0.01, 0.0, 0.0]}',
    ],
)
def test_the_lens_beside_K_is_not_ignored(tmp_path, lens: str) -> None:
    path = tmp_path / 'camera.yaml'
    path.write_text(f'width: 64\nheight: 48\nK: {K}\n{lens}\n')
    assert read_camera(path).distortion == Distortion('equidistant', (0.1, 0.01, 0.0, 0.0))


def test_null_beside_K_is_a_lens_that_does_not_distort(tmp_path) -> None:
    path = tmp_path / 'camera.yaml'
    path.write_text(f'width: 64\nheight: 48\nK: {K}\ndistortion: null\n')
    assert read_camera(path).distortion.is_identity


@pytest.mark.parametrize('zeros', [0, 6])
def test_the_values_of_a_calibration_tell_its_lens(tmp_path, zeros: int) -> None:
    values = [0.1, -0.05, 1e-3, 1e-3, 0.01, 0.02, 0.03, 0.04]
    path = tmp_path / 'camera.yaml'
    path.write_text(
        CALIBRATION.replace(
            'cols: 5, data: [0.1, 0.0, 0.0, 0.0, 0.0]', f'data: {values + [0] * zeros}'
        )
    )
    assert read_camera(path).distortion == Distortion('rational_polynomial', tuple(values))


@pytest.mark.parametrize('coefficients', ['[0, 0, 0, 0, 0]', '', '{data: [0, 0, 0, 0, 0]}'])
def test_matrices_of_a_calibration_may_be_lists_or_empty(tmp_path, coefficients: str) -> None:
    path = tmp_path / 'camera.yaml'
    path.write_text(
        'image_width: 64\nimage_height: 48\n'
        'camera_matrix: [50, 0, 31, 0, 50, 23, 0, 0, 1]\n'
        f'distortion_coefficients: {coefficients}\n'
        'projection_matrix: [49, 0, 31, 0, 0, 49, 23, 0, 0, 0, 1, 0]\n'
    )
    camera = read_camera(path)
    assert camera.distortion.is_identity
    assert (camera.K[0, 0], camera.P[0, 0]) == (50.0, 49.0)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('width: 64\nheight: 48', 'has no K'),
        ('width: 64\nheight: 48\nfx: 50', 'has no K'),
        ('image_width: 64\ncamera_matrix: {data: [1]}', 'has no image_height'),
        ('width: 64\nheight: 48\nK: [[0, 0, 0], [0, 0, 0], [0, 0, 1]]', 'focal lengths'),
        ('width: a\nheight: 48\nK: []', 'invalid literal'),
        (f'width: 64.7\nheight: 48\nK: {K}', 'width is 64.7, expected a whole number'),
        (CALIBRATION.replace('48', '48.5', 1), 'image_height is 48.5, expected a whole number'),
        (f'width: 64\nheight: 48\nK: {K}\ndist_coeffs: [0.1]', 'dist_coeffs would be ignored'),
        (f'width: 64\nheight: 48\nK: {K}\nD: [0, 0, 0, 0]\ndistortion: {{}}', 'more than once'),
        (f'width: 64\nheight: 48\nK: {K}\ndistortion: [0.1]', 'expected model and coefficients'),
        (f'width: 64\nheight: 48\nK: {K}\ndistortion: {{model: plumb_bob}}', 'no coefficients'),
        ('width: .inf\nheight: 48\nK: []', 'infinity'),
        ('[1, 2]', 'no keys and values'),
        ('{', 'cannot be read'),
    ],
)
def test_a_file_that_is_no_camera_is_refused(tmp_path, text: str, message: str) -> None:
    path = tmp_path / 'camera.yaml'
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_camera(path)


@pytest.mark.parametrize(
    'text',
    [
        '[[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]',
        'T_camera_sensor: [[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]',
        'translation: [0.5, 0, 0]\nrotation: [0, 0, 0, 1]',
        'translation: {x: 0.5, y: 0, z: 0}\nrotation: {x: 0, y: 0, z: 0, w: 1}',
    ],
)
def test_extrinsics_are_read_in_every_form(tmp_path, text: str) -> None:
    path = tmp_path / 'extrinsics.yaml'
    path.write_text(text)
    expected = np.eye(4)
    expected[0, 3] = 0.5
    np.testing.assert_allclose(read_transform(path), expected)


@pytest.mark.parametrize(
    'text', ['1', 'a: 1', 'translation: [0, 0]\nrotation: [0, 0, 0, 1]', '[[1, 2], [3, 4]]']
)
def test_extrinsics_in_no_known_form_are_refused(tmp_path, text: str) -> None:
    path = tmp_path / 'extrinsics.yaml'
    path.write_text(text)
    with pytest.raises(InputError):
        read_transform(path)


def test_points_and_depth_map_of_one_scene_make_the_same_prompt(mini_set, camera_file) -> None:
    camera = read_camera(camera_file)
    T = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], np.float64)
    from_map = read_prompt(mini_set / '0_grid.png', camera).to_map(64, 48)
    from_points = read_prompt(mini_set / '0_lidar.npz', camera, T).to_map(64, 48)
    both = np.isfinite(from_map) & np.isfinite(from_points)
    assert both.sum() >= 40
    np.testing.assert_allclose(from_map[both], from_points[both], rtol=1e-4)


@pytest.mark.parametrize('suffix', ['.ply', '.pcd'])
def test_clouds_are_read_through_open3d(camera_file, tmp_path, suffix: str) -> None:
    open3d = pytest.importorskip('open3d', exc_type=ImportError)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector([[0.0, 0.0, 3.0]]))
    open3d.io.write_point_cloud(str(tmp_path / f'cloud{suffix}'), cloud)
    prompt = read_prompt(tmp_path / f'cloud{suffix}', read_camera(camera_file))
    assert prompt.depth.tolist() == [3.0]


def test_intensity_behind_xyz_is_ignored(camera_file, tmp_path) -> None:
    np.save(tmp_path / 'cloud.npy', np.array([[0.0, 0.0, 3.0, 0.7]], np.float32))
    prompt = read_prompt(tmp_path / 'cloud.npy', read_camera(camera_file))
    assert prompt.depth.tolist() == [3.0]


def test_a_smaller_depth_map_is_a_low_resolution_one(camera_file, tmp_path) -> None:
    np.savez(tmp_path / 'small.npz', depth=np.full((6, 8), 2.0, np.float32))
    assert len(read_prompt(tmp_path / 'small.npz', read_camera(camera_file))) == 48


def test_points_that_all_miss_the_image_are_refused(camera_file, tmp_path) -> None:
    np.savez(tmp_path / 'behind.npz', xyz=np.array([[0, 0, -3]], np.float32))
    with pytest.raises(InputError, match='none of the 1 points falls into the image'):
        read_prompt(tmp_path / 'behind.npz', read_camera(camera_file))


def test_extrinsics_for_a_depth_map_are_refused(mini_set, camera_file) -> None:
    with pytest.raises(InputError, match='--extrinsics is for points'):
        read_prompt(mini_set / '0_grid.png', read_camera(camera_file), np.eye(4))


@pytest.mark.parametrize('name', ['prompt.txt', 'prompt.npy', 'prompt.npz', 'prompt.png'])
def test_a_file_that_is_no_prompt_is_refused(camera_file, tmp_path, name: str) -> None:
    (tmp_path / name).write_text('nothing')
    with pytest.raises(InputError, match=name.replace('.', r'\.')):
        read_prompt(tmp_path / name, read_camera(camera_file))
