# SPDX-License-Identifier: Apache-2.0
"""Focal length and shift are recovered from an affine point map."""

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from metric_depth_ros.networks.focal_shift import recover_focal_shift
from metric_depth_ros.networks.view_plane import view_plane_uv


def pinhole_points(focal, shift, height=48, width=64):
    """Points whose depth lacks `shift`; focal relative to half the diagonal."""
    generator = torch.Generator().manual_seed(1)
    z = 2 + 3 * torch.rand(height, width, generator=generator)
    half = (height**2 + width**2) ** 0.5 / 2
    u = (torch.arange(width) + 0.5 - width / 2) / half
    v = (torch.arange(height) + 0.5 - height / 2) / half
    return torch.stack((z * u / focal, z * v[:, None] / focal, z - shift), dim=-1)


@pytest.mark.parametrize(('focal', 'shift'), [(0.7, 0.0), (1.3, 0.4), (2.5, -0.6)])
def test_a_pinhole_is_recovered(focal, shift):
    found = recover_focal_shift(pinhole_points(focal, shift)[None])

    assert found.focal.item() == pytest.approx(focal, rel=1e-3)
    assert found.shift.item() == pytest.approx(shift, abs=1e-2)


def test_each_sample_has_its_own_focal_and_shift():
    points = torch.stack([pinhole_points(1.0, 0.3), pinhole_points(2.0, -0.2)])

    found = recover_focal_shift(points)
    known = recover_focal_shift(points, focal=torch.tensor([1.0, 2.0]))

    torch.testing.assert_close(found.focal, torch.tensor([1.0, 2.0]), rtol=1e-3, atol=0)
    torch.testing.assert_close(known.shift, torch.tensor([0.3, -0.2]), rtol=0, atol=1e-3)
    assert torch.equal(known.focal, torch.tensor([1.0, 2.0]))


def test_masked_points_do_not_count():
    points = pinhole_points(1.2, 0.3)[None]
    mask = torch.ones(1, 48, 64, dtype=torch.bool)
    mask[:, :, 40:] = False
    spoiled = points.masked_fill(~mask[..., None], torch.nan)

    found = recover_focal_shift(spoiled, mask)

    assert found.focal.item() == pytest.approx(1.2, rel=1e-3)


@pytest.mark.parametrize('count', [0, 1])
def test_too_few_points_leave_the_map_as_it_is(count):
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask.view(-1)[:count] = True
    points = pinhole_points(1.2, 0.3, 64, 64)[None]

    found = recover_focal_shift(points, mask)
    known = recover_focal_shift(points, mask, torch.tensor([1.7]))

    assert (found.focal.item(), found.shift.item()) == (1.0, 0.0)
    assert (known.focal.item(), known.shift.item()) == (pytest.approx(1.7), 0.0)


def test_points_that_are_not_finite_are_told_by_the_focal_length_of_their_sample():
    points = torch.stack([pinhole_points(1.2, 0.3), pinhole_points(1.2, 0.3)])
    points[0, 3, 3] = torch.nan

    assert recover_focal_shift(points).focal.isnan().tolist() == [True, False]


def test_one_direction_alone_tells_nothing_and_changes_nothing():
    """A map smaller than the samples has one point many times; any shift fits it."""
    points = pinhole_points(1.2, 0.3, 30, 40)[None]
    mask = torch.zeros(1, 30, 40, dtype=torch.bool)
    mask[0, 4, 5] = True

    assert recover_focal_shift(points, mask).shift.item() == 0


@pytest.mark.parametrize('known', [False, True])
@pytest.mark.parametrize('noise', [0.001, 0.03, 0.3, 1.0])
@pytest.mark.parametrize('seed', range(4))
def test_ends_where_the_authors_solver_does(known, noise, seed):
    """From a clean pinhole to points that are none, where the way decides on the end."""
    generator = torch.Generator().manual_seed(seed)
    points = pinhole_points(1.2, 0.3, 64, 64)
    points += noise * torch.randn(points.shape, generator=generator)
    points[..., 2] = points[..., 2].abs() + 0.2
    focal = 1.2 if known else None

    found = recover_focal_shift(points[None], focal=torch.tensor([1.2]) if known else None)

    expected_focal, expected_shift = authors_solution(points.numpy(), focal)
    assert found.focal.item() == pytest.approx(expected_focal, rel=1e-5)
    assert found.shift.item() == pytest.approx(expected_shift, rel=1e-5, abs=1e-6)


def authors_solution(points, focal):
    """Solve with SciPy, as the authors do; scaling by 'jac' is its default since 1.16."""
    uv = view_plane_uv(64, 64, 1.0, torch.zeros(1)).permute(1, 2, 0).reshape(-1, 2).numpy()
    xy, z = points[..., :2].reshape(-1, 2), points[..., 2].reshape(-1)

    def best_focal(projected):
        return (projected * uv).sum() / np.square(projected).sum() if focal is None else focal

    def residuals(shift):
        projected = xy / (z + shift)[:, None]
        return (best_focal(projected) * projected - uv).ravel()

    solution = least_squares(residuals, x0=0, ftol=1e-3, method='lm', x_scale='jac')
    shift = np.float32(solution.x.item())
    return best_focal(xy / (z + shift)[:, None]), shift
