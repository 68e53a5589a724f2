# SPDX-License-Identifier: Apache-2.0
"""Folders of transformers may name code of their own and hold pickles: none of it is opened."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('torch')
pytest.importorskip('transformers')

import torch
from safetensors.torch import load_file
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTImageProcessor,
)

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.learned.depthlm import load_model
from metric_depth_ros.estimators.learned.language import load_tokenizer
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator

OPTIONS = EstimatorOptions(device='cpu', precision='fp32')


def load_depth_model(folder):
    return create_estimator(f'hf:{folder}', OPTIONS)


def not_to_be_called(*_arguments, **_named):
    pytest.fail('what is refused was begun')


def of_its_own(*kinds):
    """Return what names a class of the folder's own, for the Auto classes of transformers."""
    return {'model_type': 'own', 'auto_map': dict.fromkeys(kinds, 'own.Own')}


PROCESSOR = {'image_processor_type': 'Own', **of_its_own('AutoImageProcessor')}
ORDINARY_PROCESSOR = {'image_processor_type': 'DPTImageProcessor'}


@pytest.mark.parametrize(
    ('load', 'files'),
    [
        (
            load_tokenizer,
            {
                'tokenizer_config.json': {
                    'tokenizer_class': 'Own',
                    'auto_map': {'AutoTokenizer': ['own.Own', None]},
                }
            },
        ),
        (load_model, {'preprocessor_config.json': PROCESSOR}),
        (
            load_model,
            {
                'preprocessor_config.json': ORDINARY_PROCESSOR,
                'config.json': of_its_own('AutoConfig', 'AutoModelForImageTextToText'),
            },
        ),
        (load_depth_model, {'preprocessor_config.json': PROCESSOR}),
        (
            load_depth_model,
            {
                'preprocessor_config.json': ORDINARY_PROCESSOR,
                'config.json': of_its_own('AutoConfig', 'AutoModelForDepthEstimation'),
            },
        ),
    ],
    ids=['tokenizer', 'processor', 'model', 'hf: processor', 'hf: model'],
)
def test_code_of_a_folder_is_refused_and_not_run_even_if_somebody_says_yes(
    load, files, tmp_path, monkeypatch
):
    trace = tmp_path / 'was_run'
    (tmp_path / 'own.py').write_text(f'open({str(trace)!r}, "w")\nclass Own: pass\n')
    (tmp_path / 'model.safetensors').write_bytes(b'')
    (tmp_path / 'config.json').write_text('{"model_type": "glpn"}')
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    monkeypatch.setattr('builtins.input', lambda *_: 'y')
    with pytest.raises(InputError, match='cannot be loaded'):
        load(tmp_path)
    assert not trace.exists()


@pytest.fixture
def depth_model(tmp_path):
    """A tiny metric Depth Anything, as a folder."""
    backbone = Dinov2Config(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=2, image_size=70, patch_size=14,
        out_indices=[1, 2, 3, 4], apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=24, neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8, head_hidden_size=8, patch_size=14, depth_estimation_type='metric',
    )  # fmt: skip
    DepthAnythingForDepthEstimation(config).save_pretrained(tmp_path)
    DPTImageProcessor(size={'height': 56, 'width': 70}).save_pretrained(tmp_path)
    return tmp_path


def pickled(folder):
    """Put the weights of a folder into a pickle; return their names."""
    path = folder / 'model.safetensors'
    state = load_file(path)
    torch.save(state, folder / 'pytorch_model.bin')
    path.unlink()
    return list(state)


def test_pickled_weights_are_refused_with_the_command_that_makes_safetensors(depth_model):
    pickled(depth_model)
    with pytest.raises(InputError, match=r'pytorch_model\.bin') as refused:
        load_depth_model(depth_model)
    assert refused.value.fault == 'checkpoint_unsafe'
    command = shlex.split(str(refused.value).split('`')[1])
    subprocess.run([sys.executable, *command[1:]], check=True, capture_output=True)
    assert load_depth_model(depth_model).name == f'hf:{depth_model}'


@pytest.mark.parametrize('load', [load_depth_model, load_model])
@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'num_labels': 4_000_000}, 'num_labels in .*config.json is 4000000, expected at most'),
        ({'fusion_hidden_size': 10**12}, 'fusion_hidden_size in .* is 1000000000000, expected'),
        ({'head_in_index': 10**30}, 'head_in_index in .* expected at most 2147483648'),
        ({'out_indices': [1] * 5000}, r'out_indices in .* is \[1, .*expected at most 128 entries'),
        ({'id2label': dict.fromkeys(range(70_000), 'a')}, 'id2label in .* 65536 entries'),
        (
            {'backbone_config': {'model_type': 'dinov2', 'num_hidden_layers': 100_000}},
            'num_hidden_layers in .* is 100000, expected at most 256',
        ),
    ],
    ids=['labels', 'width', 'number', 'list', 'dict', 'layers'],
)
def test_a_configuration_that_asks_for_more_than_any_network_is_refused_before_it_is_obeyed(
    load, change, reason, depth_model, monkeypatch
):
    path = depth_model / 'config.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    monkeypatch.setattr('transformers.AutoConfig.from_pretrained', not_to_be_called)
    monkeypatch.setattr('transformers.AutoImageProcessor.from_pretrained', not_to_be_called)
    with pytest.raises(InputError, match=reason) as refused:
        load(depth_model)
    assert refused.value.fault == 'checkpoint_config'


def test_a_configuration_of_more_numbers_than_its_weights_have_fills_no_memory(
    depth_model, monkeypatch
):
    path = depth_model / 'config.json'
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, 'fusion_hidden_size': 1 << 14}))
    monkeypatch.setattr(
        'transformers.AutoModelForDepthEstimation.from_pretrained', not_to_be_called
    )
    with pytest.raises(InputError, match='do not belong together') as refused:
        load_depth_model(depth_model)
    assert refused.value.fault == 'checkpoint_config'


@pytest.mark.parametrize('load', [load_depth_model, load_model])
def test_an_index_of_safetensors_does_not_lead_to_a_pickle(load, depth_model):
    names = pickled(depth_model)
    where = dict.fromkeys(names, 'pytorch_model.bin')
    index = depth_model / 'model.safetensors.index.json'
    index.write_text(json.dumps({'metadata': {}, 'weight_map': where}))
    (depth_model / 'other.safetensors').write_bytes(b'')
    with pytest.raises(InputError, match=r'lacks weights \(pytorch_model\.bin\)'):
        load(depth_model)


def test_a_pickle_in_the_cache_is_refused_without_asking_the_hub(
    depth_model, tmp_path_factory, monkeypatch
):
    pickled(depth_model)
    cache = tmp_path_factory.mktemp('cache')
    repository = cache / 'models--someone--depth'
    (repository / 'refs').mkdir(parents=True)
    (repository / 'refs' / 'main').write_text('0' * 40)
    (repository / 'snapshots').mkdir()
    (repository / 'snapshots' / ('0' * 40)).symlink_to(depth_model)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(cache))
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    with pytest.raises(InputError, match='are a pickle'):
        load_depth_model(Path('someone/depth'))
