# SPDX-License-Identifier: Apache-2.0
"""``metric-depth complete`` with an estimator that needs neither camera nor prompt."""

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('transformers')
pytest.importorskip('open3d')

import cv2
from tiny_checkpoints import write_checkpoint

from metric_depth_ros.cli.main import main


@pytest.fixture
def picture(tmp_path, rng):
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), rng.integers(0, 255, (48, 64, 3), np.uint8))
    return str(path)


def test_an_image_alone_becomes_depth_and_a_cloud_of_the_recovered_camera(picture, tmp_path):
    weights = str(write_checkpoint('student_pointmap', tmp_path))
    out = tmp_path / 'out'
    options = ['--estimator', 'student_pointmap', '--weights', weights, '--device', 'cpu']
    assert main(['complete', picture, *options, '-o', str(out)]) == 0
    with np.load(out / 'depth.npz') as results:
        assert np.isfinite(results['depth']).all()
        assert results['K'][0, 0] == pytest.approx(40.0, rel=1e-3)
    assert (out / 'cloud.ply').is_file()


def test_where_no_camera_is_known_the_cloud_of_another_image_does_not_stay(picture, tmp_path):
    weights, out = str(write_checkpoint('lingbot_depth', tmp_path)), tmp_path / 'out'
    camera = tmp_path / 'camera.json'
    camera.write_text('{"width": 64, "height": 48, "K": [[50, 0, 32], [0, 50, 24], [0, 0, 1]]}')
    options = ['--estimator', 'lingbot_depth', '--weights', weights, '--device', 'cpu']
    assert main(['complete', picture, '--camera', str(camera), *options, '-o', str(out)]) == 0
    assert (out / 'cloud.ply').is_file()
    assert main(['complete', picture, *options, '-o', str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        *('depth.npz', 'depth.png', 'picture.png')
    ]


def test_extrinsics_need_the_prompt(picture, tmp_path, capsys):
    out = tmp_path / 'out'
    arguments = [picture, '--estimator', 'compact_student', '--extrinsics', '/nowhere.yaml']
    assert main(['complete', *arguments, '-o', str(out)]) == 2
    assert '--prompt' in capsys.readouterr().err
    assert not out.exists()


def test_a_prompt_needs_the_camera(picture, tmp_path, capsys):
    arguments = [picture, '--prompt', 'points.npz', '-o', str(tmp_path / 'out')]
    assert main(['complete', *arguments]) == 2
    assert '--camera' in capsys.readouterr().err


def test_an_option_that_cannot_be_is_refused_in_words(picture, tmp_path, capsys):
    arguments = [picture, '--resolution-scale', '40', '-o', str(tmp_path / 'out')]
    assert main(['complete', *arguments]) == 2
    assert 'resolution_scale' in capsys.readouterr().err
