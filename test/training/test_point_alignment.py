# SPDX-License-Identifier: Apache-2.0
"""Scale and shift of points: exact, whatever the outliers, and differentiable."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.training.point_alignment import (
    XYZ_SHIFT,
    Z_SHIFT,
    align_points,
    best_scale,
)

TRUNCATION = 1.0


def cloud(seed, count=40, batch=2):
    random = torch.Generator().manual_seed(seed)
    points = torch.randn(batch, count, 3, generator=random)
    points[..., 2] += 4.0
    return points, random


def cost(points, truth, weight, scale, shift):
    error = (scale * points.double() + shift.double() - truth.double()).abs()
    return (weight[:, None] * error).clamp(max=TRUNCATION).sum().item()


def least_cost_of_all_vertices(points, truth, weight):
    """Return the minimum over scales and shifts of z at which two coordinates fit exactly.

    The cost is linear between them.
    """
    scales = [(ratio, None) for ratio in (truth / points)[:, :2].flatten()]
    costs = []
    z, known = points[:, 2], truth[:, 2]
    for i, j in itertools.combinations(range(len(z)), 2):
        scale = (known[i] - known[j]) / (z[i] - z[j])
        scales.append((scale, known[i] - scale * z[i]))
    for scale, shift in scales:
        shifts = [shift] if shift is not None else known - scale * z
        for one in shifts:
            moved = torch.stack((torch.zeros(()), torch.zeros(()), one))
            costs.append(cost(points, truth, weight, scale, moved))
    return min(costs)


@given(st.integers(0, 10_000))
def test_scale_and_shift_of_z_have_the_least_cost_of_all(seed):
    points, random = cloud(seed, count=6, batch=1)
    truth = 1.7 * points + 0.6 * torch.randn(1, 6, 3, generator=random)
    weight = torch.rand(1, 6, generator=random) * 2.0
    fit = align_points(points, truth, weight, Z_SHIFT, TRUNCATION)
    found = cost(points[0], truth[0], weight[0], fit.scale[0], fit.shift[0])
    best = least_cost_of_all_vertices(points[0].double(), truth[0].double(), weight[0])
    assert found <= best * (1.0 + 1e-4)


@given(st.integers(0, 10_000))
def test_best_scale_is_the_best_of_all_ratios(seed):
    random = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 3, 20, generator=random)
    weight = 3.0 * torch.rand(3, 20, generator=random)
    weight[:, :4] = 0.0
    ratios = y / x
    costs = (weight[:, None] * (ratios[..., None] * x[:, None] - y[:, None]).abs()).clamp(max=1.0)
    found = best_scale(x, y, weight, 1.0)
    torch.testing.assert_close(found.cost.float(), costs.sum(-1).min(1).values)
    chosen = costs.sum(-1).gather(1, found.term[:, None])[:, 0]
    torch.testing.assert_close(chosen, found.cost.float())


@pytest.mark.parametrize(
    ('axes', 'shift'), [(Z_SHIFT, (0.0, 0.0, -1.5)), (XYZ_SHIFT, (0.3, -0.7, 2.0))]
)
def test_a_third_of_outliers_moves_nothing(axes, shift):
    points, random = cloud(1)
    truth = 2.5 * points + torch.tensor(shift)
    truth[:, :13] += 100.0 * torch.randn(2, 13, 3, generator=random)
    fit = align_points(points, truth, torch.ones(2, 40), axes, TRUNCATION)
    torch.testing.assert_close(fit.scale, torch.full((2,), 2.5))
    torch.testing.assert_close(fit.shift, torch.tensor(shift).expand(2, 3), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(fit.apply(points)[:, 13:], truth[:, 13:], atol=1e-4, rtol=1e-4)


def test_what_has_no_weight_decides_nothing():
    points, _ = cloud(2)
    truth = 2.0 * points
    truth[:, 20:] = 1e6
    weight = torch.ones(2, 40)
    weight[:, 20:] = 0.0
    torch.testing.assert_close(
        align_points(points, truth, weight, XYZ_SHIFT).scale, torch.full((2,), 2.0)
    )


def test_nothing_to_align_has_scale_zero():
    points, _ = cloud(3)
    weight = torch.zeros(2, 40)
    weight[1, 0] = 1.0  # one point tells no scale where it is shifted, too
    fit = align_points(points, points, weight, XYZ_SHIFT)
    assert (fit.scale == 0.0).all()
    assert (fit.shift == 0.0).all()


def test_nothing_to_align_has_a_gradient_of_zero():
    points = torch.full((1, 4, 3), 1e-30).requires_grad_()
    fit = align_points(points, torch.ones(1, 4, 3), torch.zeros(1, 4), Z_SHIFT)
    (fit.scale.sum() + fit.shift.sum()).backward()
    assert (points.grad == 0.0).all()


def test_gradient_is_that_of_the_coordinates_which_decide():
    points, random = cloud(4, batch=1)
    truth = 2.0 * points + 0.1 * torch.randn(1, 40, 3, generator=random)
    points.requires_grad_()

    def scale_of(values):
        return align_points(values, truth, torch.ones(1, 40), Z_SHIFT).scale.sum()

    (gradient,) = torch.autograd.grad(scale_of(points), points)
    touched = gradient[0].abs() > 0
    assert 1 <= touched.sum() <= 2
    row, column = touched.nonzero()[0].tolist()
    with torch.no_grad():
        moved = points.detach().double()
        step = torch.zeros_like(moved)
        step[0, row, column] = 1e-6
        rise = (scale_of((moved + step).double()) - scale_of((moved - step).double())) / 2e-6
    assert rise.item() == pytest.approx(gradient[0, row, column].item(), rel=1e-3)


def test_problems_too_many_for_one_go_are_solved_alike(monkeypatch):
    points, random = cloud(5)
    truth = 1.5 * points + 0.1 * torch.randn(2, 40, 3, generator=random)
    whole = align_points(points, truth, torch.ones(2, 40), XYZ_SHIFT)
    monkeypatch.setattr('metric_depth_ros.training.point_alignment._MOST_ELEMENTS', 1000)
    parts = align_points(points, truth, torch.ones(2, 40), XYZ_SHIFT)
    assert torch.equal(whole.scale, parts.scale)
    assert torch.equal(whole.shift, parts.shift)
