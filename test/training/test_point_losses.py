# SPDX-License-Identifier: Apache-2.0
"""Losses of point maps: blind to scale and shift, zero for the truth, exact where it is simple."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metric_depth_ros.evaluation.moge_protocol import _subsample
from metric_depth_ros.training.grid_samples import grid_samples
from metric_depth_ros.training.point_losses import (
    edge_loss,
    global_loss,
    local_loss,
    scale_loss,
    surface_loss,
)
from metric_depth_ros.training.point_patches import (
    Anchors,
    anchor_weights,
    draw_anchors,
    patches_around,
)

HEIGHT, WIDTH, FOCAL = 32, 40, 40.0
EXTENT = math.hypot(HEIGHT, WIDTH) / FOCAL
LEVEL = 4


def rays():
    v, u = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing='ij')
    x, y = (u - WIDTH / 2 + 0.5) / FOCAL, (v - HEIGHT / 2 + 0.5) / FOCAL
    return torch.stack((x, y, torch.ones(HEIGHT, WIDTH)), dim=-1)


def scene(seed=0, batch=2):
    """Return true points of a slope with a box before it, which of them count, and an answer."""
    random = torch.Generator().manual_seed(seed)
    depth = 6.0 + rays()[..., 0] + 2.0 * torch.rand(batch, 1, 1, generator=random)
    depth[:, 8:24, 10:26] = 2.0
    truth = depth[..., None] * rays()
    mask = torch.rand(batch, HEIGHT, WIDTH, generator=random) > 0.1
    noise = 1.0 + 0.05 * torch.randn(batch, HEIGHT, WIDTH, 1, generator=random)
    points = 0.3 * truth * noise
    points[..., 2] -= 0.5
    return SimpleNamespace(truth=truth, mask=mask, points=points)


def local(points, truth, mask, scale, anchors=None):
    extent = torch.full((len(points),), EXTENT)
    if anchors is None:
        weights = anchor_weights(truth, mask, extent, LEVEL)
        anchors = draw_anchors(weights, 8, range(len(points)))
    return local_loss(
        points, truth, mask, anchors, extent=extent, scale=scale, level=LEVEL, samples=8
    )


def test_losses_are_those_of_the_reference_code():
    """Of a slope, a box and a far strip, by formulas; the anchors are every 37th pixel.

    The figures are of the code of MoGe-2, given the same samples.
    """
    v, u = torch.meshgrid(torch.arange(40), torch.arange(56), indexing='ij')
    x, y = (u - 27.5) / 48.0, (v - 19.5) / 48.0
    z = 5.0 / (1.0 + 0.3 * x - 0.4 * y)
    z[14:28, 20:34], z[:4] = 2.0, 30.0
    truth = torch.stack((x * z, y * z, z), dim=-1)[None]
    mask = ((3 * u + 7 * v) % 11 != 0)[None]
    wrong = 0.05 * torch.sin(1.7 * u + 0.9 * v) + 0.03 * torch.cos(0.37 * u * v)
    points = 0.3 * truth * (1.0 + wrong[..., None])
    points[..., 2] -= 0.2
    truth = truth.where(mask[..., None], 1.0)
    pixels = torch.arange(0, 40 * 56, 37)
    pixels = pixels[mask.flatten()[pixels]]
    anchors = Anchors(torch.zeros_like(pixels), pixels)
    extent = torch.tensor([math.hypot(56.0, 40.0) / 48.0])

    whole = global_loss(points, truth, mask, 12)
    patches = [
        local_loss(
            points, truth, mask, anchors, extent=extent, scale=whole.scale, level=level, samples=n
        )
        for level, n in ((4, 8), (8, 6))
    ]

    assert float(whole.loss) == pytest.approx(0.0160480626, rel=1e-5)
    assert float(whole.scale) == pytest.approx(3.3274579, rel=1e-5)
    assert [float(loss) for loss in patches] == pytest.approx([0.0066126958, 0.0046299887], 1e-5)
    assert float(edge_loss(points, truth, mask)) == pytest.approx(0.0130327372, rel=1e-5)


@pytest.mark.parametrize('size', [(90, 130), (64, 64), (40, 200)])
def test_samples_are_those_of_the_figures_of_moge(size):
    mask = np.random.default_rng(0).random(size) < 0.4
    rows, columns = _subsample(mask)
    grid = grid_samples(torch.from_numpy(mask)[None], 64)
    mine = grid.pixel[grid.found]
    # Pixels exactly as near may be taken instead of each other.
    same = mine == torch.from_numpy(rows * size[1] + columns)
    assert same.float().mean() > 0.95


@settings(max_examples=10)
@given(st.floats(0.2, 5.0), st.floats(-0.3, 3.0))
def test_scale_and_shift_of_z_change_no_loss_of_points(scale, shift):
    seen = scene(seed=1, batch=1)
    moved = scale * seen.points + torch.tensor((0.0, 0.0, shift))
    before, after = (global_loss(p, seen.truth, seen.mask, 12) for p in (seen.points, moved))
    torch.testing.assert_close(after.loss, before.loss, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(scale * after.scale, before.scale, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(
        local(moved, seen.truth, seen.mask, after.scale),
        local(seen.points, seen.truth, seen.mask, before.scale),
        rtol=1e-3,
        atol=1e-6,
    )
    torch.testing.assert_close(
        edge_loss(moved, seen.truth, seen.mask),
        edge_loss(seen.points, seen.truth, seen.mask),
        rtol=1e-3,
        atol=1e-6,
    )


def test_a_perfect_answer_up_to_scale_and_shift_costs_nothing():
    seen = scene()
    points = 0.25 * seen.truth - torch.tensor((0.0, 0.0, 0.4))
    whole = global_loss(points, seen.truth, seen.mask, 12)
    torch.testing.assert_close(whole.scale, torch.full((2,), 4.0))
    assert whole.loss.max() < 1e-6
    assert local(points, seen.truth, seen.mask, whole.scale).max() < 1e-6


def test_edges_of_a_perfect_answer_cost_the_least_angle_that_is_compared():
    truth = scene().truth
    least, bend = math.radians(0.1), math.radians(3.0)
    expected = 2.0 * 0.5 * least**2 / bend / (2 * WIDTH)
    everywhere = torch.ones(2, HEIGHT, WIDTH, dtype=torch.bool)
    torch.testing.assert_close(
        edge_loss(truth, truth, everywhere), torch.full((2,), expected), rtol=1e-3, atol=0.0
    )


def test_edges_at_right_angles_cost_a_right_angle():
    truth = 4.0 * rays()[None]
    turned = torch.stack((-truth[..., 1], truth[..., 0], truth[..., 2]), dim=-1)
    expected = 2.0 * (math.pi / 2 - 0.5 * math.radians(3.0)) / (2 * WIDTH)
    everywhere = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    torch.testing.assert_close(edge_loss(turned, truth, everywhere), torch.tensor([expected]))


def test_points_that_coincide_have_no_edge_and_no_gradient():
    seen = scene(batch=1)
    points = seen.points.clone()
    points[0, 10, 12] = points[0, 10, 11]
    mask = torch.ones_like(seen.mask)
    edge_loss(points.requires_grad_(), seen.truth, mask).sum().backward()
    assert points.grad.abs().max() < 1.0


def test_one_wrong_coordinate_costs_its_error_by_its_depth():
    truth = 4.0 * rays()[None]
    points = truth.clone()
    points[0, 3, 5, 0] += 3.0
    everywhere = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    loss = global_loss(points, truth, everywhere, 12).loss.item()
    assert loss == pytest.approx(3.0 / 4.0 / (3 * HEIGHT * WIDTH), rel=1e-3)


def test_a_few_points_very_near_do_not_rule():
    truth = 4.0 * rays()[None]
    truth[0, 0, 0] = torch.tensor((0.0, 0.0, 1e-4))
    points = truth.clone()
    points[0, 0, 0, 0] = 1.0
    everywhere = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    loss = global_loss(points, truth, everywhere, 12).loss.item()
    mean = (0.25 * (HEIGHT * WIDTH - 1) + 1e4) / (HEIGHT * WIDTH)
    assert loss == pytest.approx(10.0 * mean / (3 * HEIGHT * WIDTH), rel=1e-3)


def test_things_wrong_by_a_scale_each_cost_the_image_but_not_its_patches():
    seen = scene()
    points = seen.truth.clone()
    points[:, 8:24, 10:26] *= 1.5
    whole = global_loss(points, seen.truth, seen.mask, 12)
    assert whole.loss.min() > 1e-2
    assert local(points, seen.truth, seen.mask, whole.scale).max() < 1e-5


def test_a_patch_whose_scale_is_far_from_that_of_its_image_counts_nothing():
    seen = scene()
    assert local(seen.points, seen.truth, seen.mask, torch.full((2,), 3.3)).min() > 1e-3
    assert (local(seen.points, seen.truth, seen.mask, torch.full((2,), 50.0)) == 0.0).all()
    assert (local(seen.points, seen.truth, seen.mask, torch.zeros(2)) == 0.0).all()


@pytest.mark.parametrize('kind', ['global', 'local', 'edge'])
def test_what_does_not_count_has_no_loss_and_no_gradient(kind):
    seen = scene()
    elsewhere = seen.points.where(seen.mask[..., None], torch.tensor(70.0)).requires_grad_()
    fitted = global_loss(seen.points, seen.truth, seen.mask, 12)
    losses = {
        'global': lambda p: global_loss(p, seen.truth, seen.mask, 12).loss,
        'local': lambda p: local(p, seen.truth, seen.mask, fitted.scale),
        'edge': lambda p: edge_loss(p, seen.truth, seen.mask),
    }
    loss = losses[kind](elsewhere)
    torch.testing.assert_close(loss, losses[kind](seen.points))
    (gradient,) = torch.autograd.grad(loss.sum(), elsewhere)
    assert gradient.isfinite().all()
    assert (gradient[~seen.mask] == 0.0).all()
    assert (gradient[seen.mask] != 0.0).any()


def test_an_image_of_which_nothing_counts_has_no_loss():
    seen = scene()
    nothing = torch.zeros_like(seen.mask)
    points = seen.points.requires_grad_()
    whole = global_loss(points, seen.truth, nothing, 12)
    edges = edge_loss(points, seen.truth, nothing)
    assert (whole.loss == 0.0).all()
    assert (whole.scale == 0.0).all()
    assert (edges == 0.0).all()
    (gradient,) = torch.autograd.grad((whole.loss + edges).sum(), points)
    assert (gradient == 0.0).all()


def test_scale_loss_is_of_logarithms_and_only_where_a_scale_was_found():
    predicted = torch.tensor((math.e, 5.0))
    loss = scale_loss(predicted, torch.tensor((math.e**3, 0.0)))
    torch.testing.assert_close(loss, torch.tensor((4.0, 0.0)))


def test_surface_loss_is_the_cross_entropy_of_what_is_known():
    probability = torch.tensor([[[0.8, 0.1, 0.5, 0.9]]])
    surface = torch.tensor([[[True, False, False, False]]])
    sky = torch.tensor([[[False, True, False, False]]])
    expected = -(math.log(0.8) + math.log(0.9)) / 4
    torch.testing.assert_close(surface_loss(probability, surface, sky), torch.tensor([expected]))


def test_thin_things_have_more_anchors_than_their_pixels():
    truth = 8.0 * rays()[None]
    truth[0, :, 20] *= 0.25  # a pole
    everywhere = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    weights = anchor_weights(truth, everywhere, torch.tensor([EXTENT]), 8)
    of_pole = weights[0, 4:-4, 20].mean() / weights[0, 4:-4, 30].mean()
    assert of_pole > 3.0


def test_anchors_of_an_image_do_not_depend_on_the_others():
    seen = scene()
    weights = anchor_weights(seen.truth, seen.mask, torch.full((2,), EXTENT), LEVEL)
    together = draw_anchors(weights, 50, (3, 4))
    alone = draw_anchors(weights[1:], 50, (4,))
    assert torch.equal(together.pixel[50:], alone.pixel)
    assert seen.mask.flatten(1)[together.image, together.pixel].all()


def test_a_patch_is_of_one_thing():
    seen = scene(batch=1)
    everywhere = torch.ones_like(seen.mask)
    middle = Anchors(torch.tensor([0]), torch.tensor([16 * WIDTH + 12]))  # on the box, at its edge
    patches = patches_around(middle, seen.truth, everywhere, torch.tensor([EXTENT]), LEVEL)
    depths = patches.of(seen.truth)[..., 2][patches.mask]
    assert len(depths) >= 32
    assert (depths == 2.0).all()


def test_a_patch_of_too_few_points_is_left_out():
    seen = scene(batch=1)
    few = torch.zeros_like(seen.mask)
    few[:, 16, 10:26] = True
    middle = Anchors(torch.tensor([0]), torch.tensor([16 * WIDTH + 18]))
    patches = patches_around(middle, seen.truth, few, torch.tensor([EXTENT]), LEVEL)
    assert len(patches.image) == 0


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 12), st.floats(0.02, 1.0))
def test_samples_are_counted_pixels_of_their_cells(height, width, cells, share):
    mask = torch.rand(1, height, width, generator=torch.Generator().manual_seed(9)) < share
    grid = grid_samples(mask, cells)
    pixels = torch.arange(height * width).view(1, height, width, 1)
    samples = grid.of(pixels)[0, :, 0][grid.found[0]]
    assert mask.flatten()[samples].all()
    row, column = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing='ij')
    center = torch.stack((row, column), -1).flatten(0, 1)[grid.found[0]] + 0.5
    center *= torch.tensor((height, width)) / cells
    found = torch.stack((samples // width, samples % width), -1) + 0.5
    reach = torch.tensor([max(1.0, side / cells) for side in (height, width)]) / 2.0 + 1.0
    assert ((found - center).abs() <= reach).all()
    if mask.any():
        assert grid.found.any()
