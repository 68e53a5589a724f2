# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from tiny_checkpoints import tiny_network
from torch import nn

from metric_depth_ros.bench.arithmetic import count_flops, matrix_rate
from metric_depth_ros.bench.model import EAGER, ModelBench
from metric_depth_ros.bench.model_networks import Subject
from metric_depth_ros.cli.main import main
from metric_depth_ros.estimators.learned.example import INFER

NAME = 'student_pointmap'
CPU = torch.device('cpu')


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setattr(torch, 'compile', lambda method, **options: method)  # takes too long here
    return ModelBench(NAME, Subject(lambda: tiny_network(NAME)[0], INFER[NAME], 64, 48), CPU)


def test_every_way_of_running_is_compared_with_eager_float32(bench):
    rows = bench.cpu_rows(1)
    assert {row.baseline for row in rows} == {EAGER}
    names = ' '.join(row.name for row in rows)
    assert all(way in names for way in ('fp32, compiled', 'bf16, compiled', 'ONNX', 'floor'))


def test_only_the_fastest_compiled_or_exported_way_has_a_bar(bench):
    *others, last = bench.cpu_rows(1)
    assert last.bar == pytest.approx(1 / 1.5)
    assert all(row.bar is None for row in others)


def test_exact_ways_agree_with_eager(bench):
    exact = [row.name for row in bench.cpu_rows(1) if row.name.startswith('fp32')]
    assert len(exact) == 3
    assert all(float(name.rpartition(' ')[2].rstrip(')')) < 1e-5 for name in exact)


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
