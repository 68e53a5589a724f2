# SPDX-License-Identifier: Apache-2.0
"""The compact teacher's loss is the relative error, held where it would run away."""

import math

import pytest
import torch

from metric_depth_ros.training.losses import LOG_SHARE, STEEPEST_AT, relative_difference


def _of(depth: float, truth: float) -> float:
    return float(relative_difference(torch.tensor(depth).log(), torch.tensor(truth).log()))


@pytest.mark.parametrize('depth', [5.0, 6.0, 14.9])
def test_depth_beyond_the_truth_costs_its_relative_error(depth):
    assert _of(depth, 5.0) == pytest.approx(depth / 5.0 - 1.0, rel=1e-5)


def test_depth_far_beyond_the_truth_costs_by_its_logarithm():
    at_limit = STEEPEST_AT - 1.0

    assert _of(100.0 * STEEPEST_AT, 1.0) == pytest.approx(
        at_limit + STEEPEST_AT * math.log(100.0), rel=1e-5
    )


def test_depth_before_the_truth_costs_less_than_depth_as_many_times_beyond():
    assert -_of(1.0, 5.0) == pytest.approx(0.8 + LOG_SHARE * (math.log(5.0) - 0.8), rel=1e-5)
    assert -_of(1.0, 5.0) < _of(5.0, 1.0)


def test_the_gradient_is_finite_for_any_answer():
    log_depth = torch.tensor([-50.0, -1.0, 0.0, 1.0, 50.0], requires_grad=True)

    relative_difference(log_depth, torch.zeros(5)).abs().sum().backward()

    assert (log_depth.grad.abs() <= STEEPEST_AT).all()
