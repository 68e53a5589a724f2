# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest
import torch
from tiny_checkpoints import NETWORKS, tiny_network

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.learned.depth_pro import DepthProAdapter
from metric_depth_ros.estimators.learned.estimator import LearnedEstimator
from metric_depth_ros.estimators.learned.lingbot_depth import LingBotDepthAdapter
from metric_depth_ros.estimators.learned.student_depthmap import StudentDepthMapAdapter
from metric_depth_ros.estimators.learned.student_pointmap import StudentPointMapAdapter
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch, Runner
from metric_depth_ros.estimators.runtime.onnx_session import (
    METADATA_KEY,
    is_exported,
    open_exported,
    providers,
)
from metric_depth_ros.types import Frame

onnx = pytest.importorskip('onnx', reason='needs the extra onnx: pip install .[onnx]')
pytest.importorskip('onnxruntime', reason='needs the extra onnx: pip install .[onnx]')
pytest.importorskip('onnxscript', reason='needs the extra onnx: pip install .[onnx]')

from metric_depth_ros.estimators.runtime.onnx_export import (  # noqa: E402
    export_network,
    recorded_call,
)

WIDTH, HEIGHT = 64, 48


def teacher_infer(network, batch, scale):
    return network.infer(batch.images, batch.prompts['prompt'], focal_px=batch.focal_px)


INFER = {
    'student_depthmap': StudentDepthMapAdapter().infer,
    'depth_pro': DepthProAdapter().infer,
    'student_pointmap': StudentPointMapAdapter().infer,
    'lingbot_depth': LingBotDepthAdapter().infer,
    'teacher': teacher_infer,
}


def batch(name, images=1, width=WIDTH, height=HEIGHT):
    torch.manual_seed(11)
    depth = torch.where(torch.rand(images, height, width) < 0.05, 3.0, torch.nan)
    aligned = torch.full((images, 2, height, width), 0.5)
    points = (torch.rand(images, 1, height, width) < 0.05).float()
    prompts = {'depth': depth, 'prompt': torch.cat([aligned, points], dim=1)}
    focal_px = None if name == 'depth_pro' else torch.full((images,), 60.0)
    return Batch(torch.rand(images, 3, height, width), focal_px, prompts)


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """Return a function that exports a tiny network, once each."""
    folder = tmp_path_factory.mktemp('onnx')

    def export(name):
        path = folder / f'{name}.onnx'
        if not path.exists():
            network, model_config = tiny_network(name)
            call = recorded_call(network, INFER[name], batch(name), 1.0)
            export_network(name, network, call, model_config, path)
        return path

    return export


def opened(name, path):
    """Open with another network's weights, so that only the file can give the right answer."""

    def skeleton(model_config):
        network, known = tiny_network(name)
        assert model_config == json.loads(json.dumps(known))
        return network.to('meta')

    return open_exported(name, str(path), 'cpu', skeleton)


def run(network, name, data):
    return Runner(network, INFER[name], EstimatorOptions(device='cpu')).run(data).outputs


@pytest.mark.parametrize('name', NETWORKS)
def test_an_exported_network_answers_like_torch(exported, name):
    network, _ = tiny_network(name)
    data = batch(name, images=2)
    right = run(network, name, data)
    answers = run(opened(name, exported(name)), name, data)
    assert answers.keys() == right.keys()
    for key, expected in right.items():
        torch.testing.assert_close(answers[key], expected, rtol=1e-3, atol=1e-6)


def test_a_pyramid_network_takes_images_of_any_size_once_exported(exported):
    network = opened('student_depthmap', exported('student_depthmap'))
    data = batch('student_depthmap', width=80, height=50)
    assert run(network, 'student_depthmap', data)['depth'].shape == (1, 50, 80)


def test_depth_pro_with_a_known_focal_length_runs_exported_too(exported):
    network, _ = tiny_network('depth_pro')
    data = batch('student_depthmap')
    right = run(network, 'depth_pro', data)['depth']
    answer = run(opened('depth_pro', exported('depth_pro')), 'depth_pro', data)['depth']
    torch.testing.assert_close(answer, right, rtol=1e-3, atol=1e-6)


def test_features_of_an_exported_network_are_refused(exported):
    network = opened('student_pointmap', exported('student_pointmap'))
    options = EstimatorOptions(device='cpu')
    estimator = LearnedEstimator('student_pointmap', network, StudentPointMapAdapter(), options)
    with pytest.raises(InputError, match='set backend to torch'):
        estimator.features(Frame(0, '', np.zeros((HEIGHT, WIDTH, 3), np.uint8)))


def test_an_image_of_another_size_than_exported_is_refused(exported):
    network = opened('lingbot_depth', exported('lingbot_depth'))
    with pytest.raises(InputError, match=r'takes the image 3x48x64 and was given 3x50x80'):
        run(network, 'lingbot_depth', batch('lingbot_depth', width=80, height=50))


def test_another_resolution_scale_than_exported_is_refused(exported):
    network = opened('lingbot_depth', exported('lingbot_depth'))
    options = EstimatorOptions(device='cpu', resolution_scale=3.0)
    with pytest.raises(InputError, match='takes the grid'):
        Runner(network, INFER['lingbot_depth'], options).run(batch('lingbot_depth'))


def test_the_file_tells_which_network_it_is(exported):
    model = onnx.load(exported('lingbot_depth'))
    (written,) = [p.value for p in model.metadata_props if p.key == METADATA_KEY]
    assert json.loads(written)['network'] == 'lingbot_depth'


def test_a_file_of_another_network_is_refused(exported):
    with pytest.raises(InputError, match='holds the network lingbot_depth, expected teacher'):
        open_exported('teacher', str(exported('lingbot_depth')), 'cpu', lambda _: None)


def test_a_foreign_file_is_refused(exported, tmp_path):
    model = onnx.load(exported('lingbot_depth'))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / 'foreign.onnx')
    with pytest.raises(InputError, match='not made by metric-depth export'):
        open_exported('lingbot_depth', str(tmp_path / 'foreign.onnx'), 'cpu', lambda _: None)


@pytest.mark.parametrize('key', ['network', 'model_config', 'preset', 'arguments', 'outputs'])
def test_a_file_of_an_older_version_is_refused(key, exported, tmp_path):
    model = onnx.load(exported('lingbot_depth'))
    (prop,) = [p for p in model.metadata_props if p.key == METADATA_KEY]
    told = json.loads(prop.value)
    del told[key]
    prop.value = json.dumps(told)
    onnx.save(model, tmp_path / 'older.onnx')
    with pytest.raises(InputError, match=rf'does not tell its {key}: another version'):
        open_exported('lingbot_depth', str(tmp_path / 'older.onnx'), 'cpu', lambda _: None)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('network', 5),
        ('model_config', 'x'),
        ('model_config', []),
        ('preset', None),
        ('arguments', ['grid']),
        ('outputs', 3),
        ('outputs', [[], []]),
        ('outputs', ['depth']),
    ],
)
def test_a_file_that_tells_a_thing_of_another_type_is_refused_by_name(
    key, value, exported, tmp_path
):
    model = onnx.load(exported('lingbot_depth'))
    (prop,) = [p for p in model.metadata_props if p.key == METADATA_KEY]
    prop.value = json.dumps({**json.loads(prop.value), key: value})
    onnx.save(model, tmp_path / 'odd.onnx')
    with pytest.raises(InputError, match=f'does not tell its {key}'):
        opened('lingbot_depth', tmp_path / 'odd.onnx')


@pytest.mark.parametrize(
    'written', ['', '[]', '{', '7', 'null', pytest.param('[' * 100_000, id='deep')]
)
def test_a_file_that_tells_nonsense_is_refused(written, exported, tmp_path):
    model = onnx.load(exported('lingbot_depth'))
    (prop,) = [p for p in model.metadata_props if p.key == METADATA_KEY]
    prop.value = written
    onnx.save(model, tmp_path / 'odd.onnx')
    with pytest.raises(InputError, match='does not tell its network'):
        open_exported('lingbot_depth', str(tmp_path / 'odd.onnx'), 'cpu', lambda _: None)


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / 'damaged.onnx').write_bytes(b'not a model')
    with pytest.raises(InputError, match=r'damaged\.onnx cannot be opened'):
        open_exported('teacher', str(tmp_path / 'damaged.onnx'), 'cpu', lambda _: None)


@pytest.mark.parametrize('weights', ['', 'missing.onnx', 'checkpoint.pt'])
def test_without_an_exported_file_the_command_that_makes_one_is_told(weights):
    with pytest.raises(InputError, match='metric-depth export teacher --weights'):
        open_exported('teacher', weights, 'cpu', lambda _: None)


def test_an_export_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    network, model_config = tiny_network('lingbot_depth')
    data = batch('lingbot_depth')
    call = recorded_call(network, INFER['lingbot_depth'], data, 1.0)
    monkeypatch.setattr(
        'metric_depth_ros.estimators.runtime.onnx_export._largest_error', lambda *_: np.nan
    )
    path = tmp_path / 'wrong.onnx'
    with pytest.raises(InputError, match='nothing was kept'):
        export_network('lingbot_depth', network, call, model_config, path)
    assert list(tmp_path.iterdir()) == []


def test_recording_a_call_leaves_the_network_as_it_was():
    network, _ = tiny_network('student_depthmap')
    recorded_call(network, INFER['student_depthmap'], batch('student_depthmap'), 1.0)
    assert not is_exported(network)
    assert 'forward' not in vars(network)


def test_the_fastest_provider_at_hand_comes_first():
    known = ['CPUExecutionProvider', 'CUDAExecutionProvider', 'TensorrtExecutionProvider']
    assert providers('cpu', known) == ['CPUExecutionProvider']
    assert providers('cuda', known)[0] == 'TensorrtExecutionProvider'
    assert providers('auto', known[:1]) == ['CPUExecutionProvider']
