# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from metric_depth_ros.estimators.learned.loading import build_network
from metric_depth_ros.estimators.runtime.precision import CastNetwork, chosen_precision


@pytest.mark.parametrize(
    ('capability', 'low', 'expected'),
    [
        ((9, 0), 'bf16', 'bf16'),
        ((8, 0), 'bf16', 'bf16'),
        ((7, 5), 'bf16', 'fp32'),  # emulates it, slowly
        ((9, 0), 'fp16', 'fp16'),
        ((7, 5), 'fp16', 'fp16'),
        ((6, 1), 'fp16', 'fp32'),
    ],
)
def test_auto_is_what_the_gpu_in_question_multiplies_itself(
    capability, low, expected, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        torch.cuda, 'get_device_capability', lambda device: asked.append(device) or capability
    )
    assert chosen_precision('auto', torch.device('cuda:1'), low) == expected
    assert asked == [torch.device('cuda:1')]


def test_auto_is_fp32_on_a_cpu_and_what_is_wanted_stays():
    assert chosen_precision('auto', torch.device('cpu'), 'fp16') == 'fp32'
    assert chosen_precision('bf16', torch.device('cpu'), 'fp16') == 'bf16'


@pytest.mark.parametrize('name', ['student_pointmap', 'depth_pro'])
def test_networks_that_their_authors_run_in_fp16_prefer_it(name):
    pytest.importorskip('transformers')
    assert build_network(name).low_precision == 'fp16'


class Mixed(nn.Module):
    """Weights that bf16 holds, weights that it rounds, and whole numbers."""

    def __init__(self):
        super().__init__()
        self.coarse = nn.Parameter(torch.tensor([1.0, -0.5]))
        self.fine = nn.Parameter(torch.tensor([1.0, 1.0 + 2.0**-20]))
        self.register_buffer('index', torch.arange(300))


def test_only_weights_that_a_cast_rounds_are_kept_beside_it():
    cast = CastNetwork(Mixed(), 'bf16')
    assert cast._exact.keys() == {'fine'}
    assert CastNetwork(Mixed(), 'fp32')._exact == {}


def test_weights_come_back_exact_whether_kept_or_not():
    network, device = Mixed(), torch.device('cpu')
    cast = CastNetwork(network, 'bf16')
    for precision in ('bf16', 'fp32', 'bf16', 'fp32'):
        cast.move(device, precision)
    expected = Mixed().state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, expected[name])
