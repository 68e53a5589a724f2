# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from tiny_checkpoints import write_checkpoint

from metric_depth_ros.cli.main import main
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.types import CameraModel, Frame, SparsePrompt

WIDTH, HEIGHT = 64, 48


@pytest.fixture
def frame(rng):
    uv = np.stack([rng.uniform(0, WIDTH - 1, 90), rng.uniform(0, HEIGHT - 1, 90)], axis=-1)
    prompt = SparsePrompt(
        uv.astype(np.float32),
        rng.uniform(2.0, 9.0, 90).astype(np.float32),
        np.full(90, 0.02, np.float32),
        np.zeros(90, np.uint8),
    )
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    camera = CameraModel.pinhole(WIDTH, HEIGHT, 50.0, 50.0, 31.5, 23.5)
    return Frame(0, 'camera', image, camera, prompt)


def test_an_exported_estimator_answers_like_the_one_it_was_made_from(tmp_path, frame, capsys):
    pytest.importorskip('onnxscript', reason='needs the extra onnx: pip install .[onnx]')
    pytest.importorskip('onnxruntime', reason='needs the extra onnx: pip install .[onnx]')
    weights, file = write_checkpoint('lingbot_depth', tmp_path), tmp_path / 'lingbot.onnx'
    command = ['export', 'lingbot_depth', '--weights', str(weights), '-o', str(file)]
    assert main([*command, '--size', f'{WIDTH}x{HEIGHT}']) == 0
    assert 'largest error relative to torch' in capsys.readouterr().out
    depths = [
        create_estimator(
            'lingbot_depth', EstimatorOptions(device='cpu', weights=str(path), backend=backend)
        )
        .estimate(frame)
        .depth
        for path, backend in ((weights, 'torch'), (file, 'onnx'))
    ]
    np.testing.assert_allclose(depths[1], depths[0], rtol=1e-3)


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['classical', '-o', 'x.onnx'], "export got 'classical', expected one of"),
        (['lingbot_depth', '-o', 'x.pt'], r'expected a file name *.onnx'),
        (['lingbot_depth', '-o', 'x.onnx', '--size', '640'], 'expected WIDTHxHEIGHT'),
        (['teacher', '-o', 'x.onnx'], 'unreleased'),
        (['lingbot_depth', '-o', 'x.onnx', '--weights', 'no.pt'], 'no.pt'),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_sentence(
    arguments, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(['export', *arguments]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
