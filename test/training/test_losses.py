# SPDX-License-Identifier: Apache-2.0
"""What the goldens of the losses leave out."""

import pytest
import torch

from metric_depth_ros.training import losses
from metric_depth_ros.training.gradient_loss import multiscale_gradient_error, ssi_mage


def maps(batch=2, size=24):
    generator = torch.Generator().manual_seed(2)
    truth = 1 + 5 * torch.rand(batch, size, size, generator=generator)
    predicted = truth * (1 + 0.1 * torch.randn(batch, size, size, generator=generator))
    return predicted.requires_grad_(), truth, torch.ones(batch, size, size, dtype=torch.bool)


@pytest.mark.parametrize(
    'loss',
    [
        losses.absolute_error,
        losses.robust_absolute_error,
        losses.distance_balanced,
        losses.student_loss,
        ssi_mage,
    ],
)
def test_image_without_truth_is_nan_and_spoils_no_gradient(loss):
    predicted, truth, mask = maps()
    mask[1] = False
    truth[1] = torch.nan
    values = loss(predicted, truth, mask)
    values.nansum().backward()
    assert torch.isnan(values).tolist() == [False, True]
    assert torch.isfinite(predicted.grad).all()
    assert (predicted.grad[1] == 0).all()


def test_root_mean_square_counts_masked_pixels_and_has_a_gradient_at_zero():
    values = torch.tensor([[[3.0, 4.0, 100.0]], [[0.0, 0.0, 0.0]]], requires_grad=True)
    mask = torch.tensor([[[True, True, False]], [[True, True, True]]])
    root = losses.root_mean_square(values, mask)
    root.sum().backward()
    torch.testing.assert_close(root[0], torch.tensor(12.5).sqrt())
    assert root[1] < 1e-5
    assert torch.isfinite(values.grad).all()


def test_largest_fifth_of_the_errors_gets_no_gradient():
    predicted, truth, mask = maps(batch=1)
    losses.robust_absolute_error(predicted, truth, mask).sum().backward()
    dropped = predicted.grad[0] == 0
    error = (predicted - truth).detach().abs()[0]
    assert dropped.float().mean() == pytest.approx(0.2, abs=0.01)
    assert error[dropped].min() >= error[~dropped].max()


def test_gradient_loss_knows_no_scale_and_no_shift():
    predicted, truth, mask = maps()
    value = ssi_mage(predicted.detach(), truth, mask)
    torch.testing.assert_close(ssi_mage(3 * predicted.detach() + 7, truth, mask), value)


def test_gradients_of_logarithms_know_no_scale():
    predicted, truth, mask = maps()
    zero = multiscale_gradient_error((2.5 * truth).log(), truth.log(), mask)
    torch.testing.assert_close(zero, torch.zeros(2), atol=1e-5, rtol=0)
    assert (multiscale_gradient_error(predicted.log(), truth.log(), mask) > 0.01).all()


def test_likelihood_is_least_at_the_true_width():
    error = torch.full((1, 8, 8), 0.2)
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    width = torch.tensor(0.2).log()

    def value(of):
        return losses.laplace_likelihood(error, of.expand(1, 8, 8), 0 * error, mask)

    assert value(width) < value(width + 0.3)
    assert value(width) < value(width - 0.3)
