# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from tiny_checkpoints import tiny_network
from torch import nn

from metric_depth_ros.bench import model
from metric_depth_ros.bench.arithmetic import count_flops, matrix_rate
from metric_depth_ros.bench.model import EAGER, ModelBench
from metric_depth_ros.bench.model_networks import Subject
from metric_depth_ros.cli.main import main

NAME = 'student_pointmap'
CPU = torch.device('cpu')


def measured(name, monkeypatch):
    """Return the rows of a tiny network."""
    monkeypatch.setattr(torch, 'compile', lambda method, **options: method)  # takes too long here
    subject = Subject(name, lambda: tiny_network(name)[0], 64, 48)
    return ModelBench(subject, CPU).cpu_rows(1, 2)


@pytest.fixture(scope='module')
def rows():
    with pytest.MonkeyPatch.context() as monkeypatch:
        return measured(NAME, monkeypatch)


def abs_rel(row):
    return float(row.name.rpartition(' ')[2].rstrip(')'))


def test_every_way_of_running_is_compared_with_eager_float32(rows):
    names = [row.name for row in rows if row.baseline == EAGER]
    for way in ('fp32, compiled', 'bf16, compiled', 'ONNX', 'floor'):
        assert any(way in name for name in names)


def test_only_the_fastest_compiled_or_exported_way_has_a_bar(rows):
    *others, last = rows
    assert last.bar == pytest.approx(1 / 1.5)
    assert all(row.bar is None for row in others)


def test_exact_ways_agree_with_eager(rows):
    exact = [row for row in rows if row.name.startswith('fp32') and 'AbsRel' in row.name]
    assert len(exact) == 3
    assert all(abs_rel(row) < 1e-5 for row in exact)


@pytest.mark.parametrize(
    ('name', 'baseline'),
    [
        (', p99', 'its p50'),
        ('three cameras', 'one camera'),
        ('memory after 2 frames', 'memory before'),
    ],
)
def test_the_fastest_way_is_measured_for_steadiness(rows, name, baseline):
    (row,) = [row for row in rows if row.name.endswith(name)]
    assert row.baseline == baseline
    assert row.ratio > 0.0


def test_the_loss_of_the_realtime_preset_is_measured(monkeypatch):
    (row,) = [r for r in measured('student_depthmap', monkeypatch) if 'realtime' in r.name]
    assert row.baseline == EAGER
    assert 0.0 < abs_rel(row) < 1.0


@pytest.mark.parametrize('name', ['compact_teacher', 'compact_student'])
def test_the_compact_networks_are_measured_too(name, monkeypatch):
    errors = {r.name.rpartition(' (')[0]: abs_rel(r) for r in measured(name, monkeypatch)[1:6]}
    assert errors['fp32, ONNX Runtime'] < 1e-5
    assert 0.0 < errors['bf16'] < 0.05


def test_networks_without_the_preset_have_no_such_row(rows):
    assert not any('realtime' in row.name for row in rows)


def test_products_and_attention_are_counted():
    linear = nn.Linear(8, 16, bias=False)
    q = torch.rand(1, 2, 5, 4)
    assert count_flops(lambda: linear(torch.rand(3, 8))) == 2 * 3 * 8 * 16
    attention = nn.functional.scaled_dot_product_attention
    assert count_flops(lambda: attention(q, q, q)) == 2 * (2 * 2 * 5 * 5 * 4)


def test_the_rate_of_matrix_products_is_that_of_a_processor():
    assert 1e8 < matrix_rate(CPU, torch.float32) < 1e15


def test_an_unknown_model_is_refused_with_the_known_ones(capsys):
    assert main(['bench', 'model', 'classical']) == 2
    assert 'student_pointmap' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('words', 'argument', 'part'),
    [
        (['projection', 'lingbot_depth'], 'MODEL', 'model'),
        (['all', 'lingbot_depth'], 'MODEL', 'model'),
        (['codecs', '--device', 'cpu'], '--device', 'model'),
        (['codecs', '--size', 'small'], '--size', 'model'),
        (['codecs', '--frames', '7'], '--frames', 'model'),
        (['codecs', '--weights', 'mine.safetensors'], '--weights', 'estimator'),
        (['model', NAME, '--frame-set', 'here'], '--frame-set', 'node'),
    ],
)
def test_an_argument_of_another_part_is_refused(tmp_path, capsys, words, argument, part):
    out = tmp_path / 'out'
    assert main(['bench', *words, '--rounds', '1', '--out', str(out)]) == 2
    said = ' '.join(capsys.readouterr().err.split())
    assert f'{argument} is' in said
    assert f'belongs to `bench {part}`' in said
    assert not out.exists()


@pytest.mark.parametrize(('device', 'count'), [('cuda', 0), ('cuda:1', 1), ('foo', 0)])
def test_a_device_that_is_not_there_is_refused(monkeypatch, tmp_path, capsys, device, count):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
    assert main(['bench', 'model', NAME, '--device', device, '--out', str(tmp_path)]) == 2
    assert f"device is '{device}'" in ' '.join(capsys.readouterr().err.split())


def test_the_second_gpu_is_not_taken_for_the_first(monkeypatch):
    measured_on = []

    def gpu_rows(bench, rounds, frames, on_h200):
        measured_on.append((bench._device, on_h200))
        return []

    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    names = {torch.device('cuda:1'): 'NVIDIA H200'}
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device=None: names[device])
    monkeypatch.setattr(model, 'find_subject', lambda *_: Subject(NAME, nn.Identity, 64, 48))
    monkeypatch.setattr(ModelBench, 'gpu_rows', gpu_rows)
    assert model.run(NAME, 1, 'released', 'cuda:1') == []
    assert measured_on == [(torch.device('cuda:1'), True)]


def test_a_file_is_refused_as_the_folder_before_anything_is_measured(tmp_path, capsys):
    path = tmp_path / 'file'
    path.write_text('')
    assert main(['bench', 'codecs', '--rounds', '1', '--out', str(path)]) == 2
    assert '--out' in capsys.readouterr().err
