# SPDX-License-Identifier: Apache-2.0
"""What DepthVLM is trained with."""

import pytest

torch = pytest.importorskip('torch')

from metric_depth_ros.conformance.depthvlm_losses import depth_loss  # noqa: E402


def test_images_without_labels_do_not_count_in_the_loss():
    depth = torch.rand(3, 8, 6).add(1.0).requires_grad_()
    labeled, blank = torch.full((8, 6), 2.0), torch.zeros(8, 6)
    alone = depth_loss(depth[:1], [labeled])
    among_others = depth_loss(depth, [labeled, blank, blank])
    torch.testing.assert_close(among_others, alone)
    among_others.backward()
    assert depth.grad.isfinite().all()
    assert not depth.grad[1:].any()


def test_without_any_label_the_loss_is_zero_and_has_a_gradient():
    depth = torch.rand(2, 8, 6).requires_grad_()
    loss = depth_loss(list(depth), [torch.zeros(8, 6)] * 2)
    loss.backward()
    assert loss == 0.0
    assert not depth.grad.any()
