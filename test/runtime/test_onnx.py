# SPDX-License-Identifier: Apache-2.0
import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_checkpoints import NETWORKS, tiny_network
from torch import nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.learned.depth_pro import DepthProAdapter
from metric_depth_ros.estimators.learned.estimator import LearnedEstimator
from metric_depth_ros.estimators.learned.lingbot_depth import LingBotDepthAdapter
from metric_depth_ros.estimators.learned.loading import config_from
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
from metric_depth_ros.estimators.runtime.settings import is_out_of_memory
from metric_depth_ros.networks.student_depthmap import StudentDepthMap, StudentDepthMapConfig
from metric_depth_ros.types import Frame

onnx = pytest.importorskip('onnx', reason='needs the extra onnx: pip install .[onnx]')
onnxruntime = pytest.importorskip(
    'onnxruntime', reason='needs the extra onnx: pip install .[onnx]'
)
pytest.importorskip('onnxscript', reason='needs the extra onnx: pip install .[onnx]')

from metric_depth_ros.estimators.runtime.onnx_export import (  # noqa: E402
    LARGEST_ERROR,
    ForwardCall,
    _largest_error,
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


def opened(name, path, device='cpu'):
    """Open with another network's weights, so that only the file can give the right answer."""

    def skeleton(model_config):
        network, known = tiny_network(name)
        assert model_config == json.loads(json.dumps(known))
        return network.to('meta')

    return open_exported(name, str(path), device, skeleton)


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


class Enlarged(nn.Module):
    """Maps of an encoder's sizes from the image alone: exported in a moment."""

    def __init__(self, shapes):
        super().__init__()
        self.shapes = shapes

    def forward(self, canvas, max_crops_per_batch=None):
        gray = canvas.mean(1, keepdim=True)
        return [
            nn.functional.interpolate(gray, size).expand(-1, channels, -1, -1)
            for _, channels, *size in self.shapes
        ]


def test_a_head_that_answers_the_logarithm_is_exported_with_its_constant(tmp_path):
    name, infer = 'student_depthmap', INFER['student_depthmap']
    _, shape = tiny_network(name)
    told = {**shape, 'head_param': 'dlog', 'farthest_m': 50.0}
    build = partial(config_from, StudentDepthMapConfig)
    network, data = StudentDepthMap(build(told)).eval(), batch(name)
    side = shape['canvas']
    with torch.no_grad():
        network.head[-2].bias.fill_(0.5)
        maps = network.encoder(torch.rand(1, 3, side, side))
    network.encoder = Enlarged([tuple(one.shape) for one in maps])
    path = tmp_path / 'dlog.onnx'
    export_network(name, network, recorded_call(network, infer, data, 1.0), told, path)
    opened_network = open_exported(name, str(path), 'cpu', lambda c: StudentDepthMap(build(c)))
    right, answers = run(network, name, data), run(opened_network, name, data)
    assert answers['farthest_m'].item() == pytest.approx(50.0 * 60.0 / WIDTH)
    assert right['depth'].median().item() == pytest.approx(50.0**0.5 * 60.0 / WIDTH, rel=0.2)
    torch.testing.assert_close(answers['depth'], right['depth'], rtol=1e-3, atol=1e-6)


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
    path.write_bytes(b'an earlier one')
    with pytest.raises(InputError, match=r'wrong\.onnx was not written'):
        export_network('lingbot_depth', network, call, model_config, path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b'an earlier one'


class Doubled(nn.Module):
    def forward(self, image):
        return {'once': image, 'twice': 2.0 * image}


def test_an_export_that_cannot_be_opened_leaves_nothing(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError('cannot be opened')

    monkeypatch.setattr(onnxruntime, 'InferenceSession', broken)
    call = ForwardCall({'image': torch.ones(1, 3, 4, 4)}, {})
    with pytest.raises(RuntimeError, match='cannot be opened'):
        export_network('doubled', Doubled(), call, None, tmp_path / 'doubled.onnx')
    assert list(tmp_path.iterdir()) == []


def test_weights_beside_an_export_are_found_under_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr('metric_depth_ros.estimators.runtime.onnx_export._LARGEST_INSIDE_BYTES', 0)
    call = ForwardCall({'image': torch.ones(1, 3, 4, 4)}, {})
    network = nn.Sequential(nn.Conv2d(3, 2, 1))
    network.forward = lambda image: network[0](image)
    path = tmp_path / 'large.onnx'
    assert export_network('large', network, call, None, path) < 1e-5
    assert {file.name for file in tmp_path.iterdir()} == {'large.onnx', 'large.onnx.data'}
    assert onnxruntime.InferenceSession(path).run(None, {'image': np.ones((1, 3, 4, 4), 'f4')})


@pytest.mark.parametrize('odd', [0, 1])
@pytest.mark.parametrize('value', [np.nan, 2.0])
def test_the_error_of_an_export_is_that_of_its_worst_output(odd, value, monkeypatch):
    answers = [np.ones(3, np.float32), np.zeros(3, np.float32)]
    expected = [torch.from_numpy(answer.copy()) for answer in answers]
    session = SimpleNamespace(run=lambda *_: answers)
    monkeypatch.setattr(onnxruntime, 'InferenceSession', lambda *_, **__: session)
    assert _largest_error('x.onnx', {}, expected) == 0.0
    answers[odd][1] = value
    assert not _largest_error('x.onnx', {}, expected) <= LARGEST_ERROR


def test_recording_a_call_leaves_the_network_as_it_was():
    network, _ = tiny_network('student_depthmap')
    recorded_call(network, INFER['student_depthmap'], batch('student_depthmap'), 1.0)
    assert not is_exported(network)
    assert 'forward' not in vars(network)


def test_the_fastest_provider_at_hand_comes_first():
    known = ['CPUExecutionProvider', 'CUDAExecutionProvider', 'TensorrtExecutionProvider']
    assert providers('cpu', known) == ['CPUExecutionProvider']
    assert providers('cuda', known)[0] == ('TensorrtExecutionProvider', {'device_id': 0})
    assert providers('auto', known[:1]) == ['CPUExecutionProvider']


def test_the_gpu_of_the_device_is_the_one_asked_for():
    known = ['CPUExecutionProvider', 'CUDAExecutionProvider']
    chosen = [('CUDAExecutionProvider', {'device_id': 1}), 'CPUExecutionProvider']
    assert providers('cuda:1', known) == chosen


class OnGpu:
    """Stands for a session on a GPU, whose memory is too small from the second image on."""

    opened = ()  # devices
    fails = onnxruntime.capi.onnxruntime_pybind11_state.Fail(
        '[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Conv node. '
        'Status Message: bfc_arena.cc:360 Failed to allocate memory for requested buffer of size 9'
    )

    def __init__(self, path, settings, providers):
        on_cpu = providers == ['CPUExecutionProvider']
        type(self).opened += ('cpu' if on_cpu else 'gpu',)
        self._session = ON_CPU(path, settings, providers=['CPUExecutionProvider'])
        self.get_inputs, self.get_outputs = self._session.get_inputs, self._session.get_outputs
        self.get_modelmeta = self._session.get_modelmeta
        self._images_left = 10**9 if on_cpu else 1
        self._options = {} if on_cpu else {'CUDAExecutionProvider': {'device_id': '0'}}

    def get_providers(self):
        return [*self._options, 'CPUExecutionProvider']

    def get_provider_options(self):
        return {**self._options, 'CPUExecutionProvider': {}}

    def run(self, names, inputs):
        if not self._images_left:
            raise self.fails
        self._images_left -= 1
        return self._session.run(names, inputs)


ON_CPU = onnxruntime.InferenceSession


@pytest.fixture
def gpu(monkeypatch):
    """An ONNX Runtime that has a GPU, the first one."""
    known = ['CUDAExecutionProvider', 'CPUExecutionProvider']
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: known)
    monkeypatch.setattr(onnxruntime, 'InferenceSession', OnGpu)
    monkeypatch.setattr(OnGpu, 'opened', ())
    return OnGpu


def test_a_gpu_that_this_onnx_runtime_does_not_have_is_refused(exported):
    with pytest.raises(InputError, match="device is 'cuda', but ONNX Runtime") as refused:
        opened('lingbot_depth', exported('lingbot_depth'), 'cuda')
    assert refused.value.fault == 'device'


def test_another_gpu_than_the_one_asked_for_is_refused(exported, gpu):
    with pytest.raises(InputError, match="device is 'cuda:1', but ONNX Runtime"):
        opened('lingbot_depth', exported('lingbot_depth'), 'cuda:1')


@pytest.mark.parametrize('name', ['lingbot_depth', 'depth_pro'])
def test_when_the_gpu_of_onnx_runtime_is_full_the_cpu_answers_for_good(
    name, exported, gpu, caplog
):
    runner = Runner(opened(name, exported(name), 'auto'), INFER[name], EstimatorOptions())
    right = runner.run(batch(name))
    assert right.note == ''
    for _ in range(2):
        outcome = runner.run(batch(name))
        assert outcome.note.endswith('on the CPU, out of memory')
        assert outcome.scale == 1.0
        assert torch.equal(outcome.outputs['depth'], right.outputs['depth'])
    assert gpu.opened == ('gpu', 'cpu')
    assert sum('runs on the CPU' in record.message for record in caplog.records) == 1


def test_a_full_memory_of_the_cpu_is_told_as_such(exported, gpu, monkeypatch):
    runner = Runner(
        opened('lingbot_depth', exported('lingbot_depth')),
        INFER['lingbot_depth'],
        EstimatorOptions(),
    )
    monkeypatch.setattr(OnGpu, 'run', lambda *_: (_ for _ in ()).throw(OnGpu.fails))
    with pytest.raises(InputError, match='Failed to allocate memory') as refused:
        runner.run(batch('lingbot_depth'))
    assert refused.value.fault == 'out_of_memory'


def test_a_file_that_does_not_fit_into_memory_is_told_as_such(exported, monkeypatch):
    path = exported('lingbot_depth')

    def full(*_, **__):
        raise OnGpu.fails

    monkeypatch.setattr(onnxruntime, 'InferenceSession', full)
    with pytest.raises(InputError, match='set device to cpu') as refused:
        opened('lingbot_depth', path, 'auto')
    assert refused.value.fault == 'out_of_memory'


def test_the_words_of_onnx_runtime_for_a_full_memory_are_known():
    side = 1 << 24  # no machine addresses a pebibyte
    tensor = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node('Expand', ['x', 'shape'], ['y'])],
        'large',
        [tensor('x', onnx.TensorProto.FLOAT, [1]), tensor('shape', onnx.TensorProto.INT64, [2])],
        [tensor('y', onnx.TensorProto.FLOAT, None)],
    )
    opset = [onnx.helper.make_opsetid('', 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
    with pytest.raises(Exception) as full:  # noqa: PT011 (they have no base of their own)
        session.run(None, {'x': np.ones(1, np.float32), 'shape': np.array([side, side])})
    assert is_out_of_memory(full.value)


def test_the_weights_that_an_exported_network_does_not_have_are_not_touched(exported, monkeypatch):
    network = opened('student_pointmap', exported('student_pointmap'))
    monkeypatch.setattr(nn.Module, 'to', lambda *_, **__: pytest.fail('touched'))
    assert run(network, 'student_pointmap', batch('student_pointmap'))['depth'].isfinite().all()
