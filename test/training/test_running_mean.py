# SPDX-License-Identifier: Apache-2.0
"""The running mean lends itself to the network and loses nothing by it."""

import pytest
import torch

from metric_depth_ros.training.running_mean import RunningMean


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_a_validation_leaves_mean_and_weights_as_they_were(dtype):
    torch.manual_seed(0)
    network = torch.nn.Linear(5, 3).to(dtype)
    mean = RunningMean(network, 0.9)
    with torch.no_grad():
        network.weight.add_(0.37)
    mean.update(1)
    weights, means = network.weight.detach().clone(), mean.weights['weight'].clone()

    with mean.swapped_in():
        assert torch.equal(network.weight, means.to(dtype))

    assert torch.equal(network.weight, weights)
    assert torch.equal(mean.weights['weight'], means)
    assert not torch.equal(means, means.bfloat16().float())  # there is something to lose
