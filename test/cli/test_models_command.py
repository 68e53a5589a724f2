# SPDX-License-Identifier: Apache-2.0
"""``metric-depth models``: the catalog, and the keys of the released checkpoints."""

import json
import subprocess
import sys

import pytest

from metric_depth_ros.cli.main import main
from metric_depth_ros.estimators.catalog import MODELS
from metric_depth_ros.estimators.learned import shipped
from metric_depth_ros.estimators.registry import ESTIMATOR_NAMES

COUNTS = {
    'student_depthmap': '876,664,001',
    'student_pointmap': '326,209,221',
    'lingbot_depth': '321,161,858',
    'depth_pro': '951,991,330',
}


def test_the_list_says_licenses_and_where_weights_come_from(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setenv('COLUMNS', '99')
    assert main(['models']) == 0
    printed = capsys.readouterr().out
    for model in MODELS.values():
        assert f'\n{model.name}\n' in f'\n{printed}'
        assert model.repository in printed
    assert 'for research only' in ' '.join(printed.split())
    assert 'DINOv3 License' in printed
    assert all(count in printed for count in COUNTS.values())


def test_the_check_is_shown_as_what_may_be_left_out(capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '99')
    with pytest.raises(SystemExit):
        main(['models', '--help'])
    assert 'metric-depth models [-h] [check] ...' in capsys.readouterr().out


def test_a_checkpoint_in_the_cache_is_on_this_machine(capsys, monkeypatch, tmp_path):
    pytest.importorskip('huggingface_hub')
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    folder = tmp_path / 'models--apple--DepthPro'
    (folder / 'refs').mkdir(parents=True)
    (folder / 'refs' / 'main').write_text('0' * 40)
    snapshot = folder / 'snapshots' / ('0' * 40)
    snapshot.mkdir(parents=True)
    (snapshot / 'depth_pro.pt').write_bytes(b'')
    assert main(['models']) == 0
    printed = ' '.join(capsys.readouterr().out.split())
    assert f'apple/DepthPro, on this machine: {snapshot / "depth_pro.pt"}' in printed
    published = [model for model in MODELS.values() if model.repository]
    places = sum(1 + len(model.variants) for model in published)
    assert printed.count(', not on this machine: ') == places - 1
    assert printed.count(', on this machine: ') == 1


@pytest.mark.parametrize('there', [True, False])
def test_only_what_the_manifest_lists_is_called_shipped(there, capsys, monkeypatch):
    entry = {'file': 'compact_teacher.safetensors', 'parameters': 1_234_567}
    entries = {'compact_teacher': entry} if there else {}
    monkeypatch.setattr(shipped, 'manifest', lambda: entries)
    assert main(['models']) == 0
    assert capsys.readouterr().out.count('shipped with this package') == len(entries)


def test_shipped_weights_have_the_parameters_of_the_manifest(capsys):
    assert main(['models']) == 0
    printed = capsys.readouterr().out
    for name in ('compact_teacher', 'compact_student'):
        _, _, row = printed.partition(f'{name}\n')
        count = shipped.manifest()[name]['parameters']
        assert f'parameters  {count:,}\n' in row.split('\n\n')[0] + '\n'


def test_the_list_loads_no_torch():
    code = 'import sys; from metric_depth_ros.cli.main import main; main(["models"]); '
    code += 'assert not {"torch", "transformers", "rclpy"} & set(sys.modules)'
    subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, timeout=60)


def test_every_model_of_the_catalog_is_an_estimator():
    assert MODELS.keys() <= set(ESTIMATOR_NAMES)


@pytest.mark.parametrize('name', COUNTS)
def test_networks_have_the_released_keys(name, capsys):
    pytest.importorskip('transformers')
    assert main(['models', 'check', name]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f'ok    {name}  {COUNTS[name]} parameters')


@pytest.mark.parametrize('name', ['compact_teacher', 'depthlm'])
def test_a_network_without_a_key_list_is_not_called_unreleased(name, capsys):
    pytest.importorskip('transformers')
    assert main(['models', 'check', name]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f'none  {name}  ')
    assert 'not compared: no key list in this package' in printed


def test_the_key_list_of_unpublished_weights_says_where_it_is_from(capsys):
    pytest.importorskip('transformers')
    assert main(['models', 'check', 'depthvlm_8b']) == 0
    assert (
        "the digest of the 812 keys of the authors' class, built with the configuration of "
        'Qwen3-VL-8B-Instruct' in capsys.readouterr().out
    )


def test_the_digest_is_that_of_the_released_list(shared):
    from metric_depth_ros.estimators.learned.key_check import keys_digest, read_released

    for name in COUNTS:
        released = read_released(shared / 'goldens' / name / 'released_keys.json')
        assert keys_digest(released) == MODELS[name].released_digest
        assert len(released) == MODELS[name].released_keys


def test_each_difference_to_a_list_is_named(tmp_path, capsys):
    from metric_depth_ros.estimators.learned.loading import build_network
    from metric_depth_ros.networks.checkpoints import released_keys

    keys = {
        key: list(shape) for key, shape in released_keys(build_network('lingbot_depth')).items()
    }
    first, second, *_ = keys
    keys['extra.weight'] = [3]
    del keys[first]
    keys[second] = [1, 2]
    path = tmp_path / 'keys.json'
    path.write_text(json.dumps(keys))
    assert main(['models', 'check', 'lingbot_depth', '--released', str(path)]) == 1
    printed = capsys.readouterr().out
    assert 'missing here: extra.weight [3]' in printed
    assert f'not released: {first}' in printed
    assert f'{second} is' in printed


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ([], 'no model: expected one of '),
        (['gpt'], 'gpt: expected one of '),
        (['--all', '--released', 'x'], '--released and --weights are of one model'),
    ],
)
def test_bad_usage_is_refused_in_words(arguments, words, capsys):
    assert main(['models', 'check', *arguments]) == 2
    assert f'metric-depth models: {words}' in capsys.readouterr().err


def test_a_checkpoint_is_loaded_strictly_and_its_digest_told(tmp_path, capsys):
    pytest.importorskip('transformers')
    from tiny_checkpoints import write_checkpoint

    from metric_depth_ros.networks.checkpoints import sha256_of

    path = write_checkpoint('lingbot_depth', tmp_path)
    assert main(['models', 'check', 'lingbot_depth', '--weights', str(path)]) == 0
    assert f'{path} loads, sha256 {sha256_of(path)}' in capsys.readouterr().out
    assert main(['models', 'check', 'depth_pro', '--weights', str(path)]) == 2


@pytest.mark.parametrize(
    'command', [['models', 'check'], ['export', '-o', 'network.onnx', '--size', '64x64']]
)
def test_weights_of_a_misspelled_network_are_refused_not_the_shipped_ones_taken(command, capsys):
    arguments = [*command, 'compact_teacher', '--weights', 'compact_techer=mine.safetensors']
    assert main(arguments) == 2
    assert 'compact_techer=mine.safetensors' in capsys.readouterr().err


@pytest.mark.parametrize('content', ['', '[]', '{"a": "b"}', '{"a": [1.5]}'])
def test_a_list_that_is_none_is_refused(content, tmp_path, capsys):
    path = tmp_path / 'keys.json'
    path.write_text(content)
    assert main(['models', 'check', 'lingbot_depth', '--released', str(path)]) == 2
    assert str(path) in capsys.readouterr().err
