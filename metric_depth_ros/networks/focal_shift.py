# SPDX-License-Identifier: Apache-2.0
"""Focal length and depth shift of an affine point map, as MoGe recovers them.

A plain least-squares fit: not robust, which MoGe's own mask makes up for. `focal` is relative to
half the diagonal of the image. The authors run SciPy's Levenberg-Marquardt on the CPU; the same
steps with the same end are taken here on the points' device, for a whole batch at once.
Imports torch.

Source: Wang et al., "MoGe" (CVPR 2025), section 3.1, and its reference code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from metric_depth_ros.networks.view_plane import view_plane_uv

_SAMPLES = 64  # a side, whatever the aspect
_FTOL, _XTOL, _GTOL = 1e-3, 1e-8, 1e-8  # the authors', and SciPy's defaults
_FIRST_RADIUS = 100.0
_LEAST_RATIO = 1e-4
_POINTS_NEEDED = 2
_STEPS = 16  # SciPy takes at most 12 on anything between a clean pinhole and noise


class FocalShift(NamedTuple):
    """`focal` (B,) relative to half the diagonal; `shift` (B,) added to z. Both float32."""

    focal: Tensor
    shift: Tensor


def recover_focal_shift(
    points: Tensor, mask: Tensor | None = None, focal: Tensor | None = None
) -> FocalShift:
    """Find the shift of z, and the focal length unless known, that make the points a pinhole's.

    Fewer than two points end in shift 0 and, unless known, focal 1; a point that counts and is
    not finite, in shift 0 and, unless known, a focal length of NaN. Shapes and, on a GPU, the
    number of steps are fixed and nothing waits for the device, so that this can be part of a
    CUDA graph; step by step it is many small kernels.

    Parameters
    ----------
    points
        (B, H, W, 3).
    mask
        (B, H, W) bool of the points that count, or None for all.
    focal
        (B,) known focal lengths, or None.
    """
    uv, xyz, counts = _samples(points, mask)
    # A point that does not count stands at z = 1 without a direction: it adds nothing anywhere.
    xy = xyz[..., :2].where(counts[..., None], 0).double().flatten(1, 2)
    uv = (uv * counts[..., None]).double().flatten(1, 2)
    problem = _Problem(
        z=xyz[..., 2].where(counts, 1).double().flatten(1),
        products=torch.stack(((xy * uv).sum(-1), xy.square().sum(-1)), dim=1),
        unexplained=uv.square().sum(dim=(1, 2))[:, None],
        focal=None if focal is None else focal.double()[:, None],
    )
    shift = _levenberg_marquardt(problem).float()
    # The authors' focal length is that of the rounded shift.
    found = problem.linearize(shift.double()).focal.float().expand_as(shift)
    solvable = counts.flatten(1).sum(dim=1, keepdim=True) >= _POINTS_NEEDED
    fallback = torch.ones_like(shift) if focal is None else focal.float()[:, None]
    return FocalShift(
        torch.where(solvable, found, fallback)[:, 0], torch.where(solvable, shift, 0)[:, 0]
    )


class _Linearized(NamedTuple):
    """The problem near a shift, all (B, 1): its cost, the best focal length, J^T r and J^T J."""

    cost: Tensor
    focal: Tensor
    gradient: Tensor
    curvature: Tensor


class _Problem(NamedTuple):
    """Residuals ``focal * xy / (z + shift) - uv`` of samples (B, N), by their inner products.

    Parameters
    ----------
    z
        (B, N).
    products
        (B, 2, N): ``xy . uv`` and ``xy . xy``.
    unexplained
        (B, 1) sum of ``uv . uv``.
    focal
        (B, 1) where it is known.
    """

    z: Tensor
    products: Tensor
    unexplained: Tensor
    focal: Tensor | None

    def linearize(self, shift: Tensor) -> _Linearized:
        """Return the problem near the shifts (B, 1)."""
        w = 1 / (self.z + shift)
        w2 = w * w
        sums = self.products @ torch.stack((w, w2, w2 * w, w2 * w2), dim=-1)
        a1, a2, _, _ = sums[:, 0].split(1, dim=1)  # of xy . uv, times powers of w
        _, b2, b3, b4 = sums[:, 1].split(1, dim=1)  # of xy . xy
        if self.focal is None:
            focal = a1 / b2
            slope = (2 * focal * b3 - a2) / b2  # of the focal length
        else:
            focal, slope = self.focal, torch.zeros_like(shift)
        # With s the slope and f the focal length, J = xy (s w - f w^2) and r = xy f w - uv.
        return _Linearized(
            cost=(self.unexplained + focal * (focal * b2 - 2 * a1)).clamp_min(0),
            focal=focal,
            gradient=slope * (focal * b2 - a1) - focal * (focal * b3 - a2),
            curvature=slope * slope * b2 - 2 * slope * focal * b3 + focal * focal * b4,
        )


def _levenberg_marquardt(problem: _Problem) -> Tensor:
    """Return the shifts (B, 1) that MINPACK's lmder ends at, started from 0.

    Its trust region, scaling, step acceptance and end are those of Moré (1978). With one unknown
    the damping that makes a step of a given length has a closed form, so nothing is iterated in
    it. Where points are far from any pinhole's, the end depends on all of this.
    """
    shift = torch.zeros_like(problem.unexplained)
    here = problem.linearize(shift)
    scale = here.curvature.sqrt()  # of the unknown: lengths are those of the residuals
    radius = torch.full_like(shift, _FIRST_RADIUS)
    damping = torch.zeros_like(shift)
    moved = torch.zeros_like(shift, dtype=torch.bool)
    going = ~_is_flat(here)
    for _ in range(_STEPS):
        if not shift.is_cuda and not going.any():  # on a GPU asking would cost more than going on
            break
        gradient, curvature = here.gradient / scale, here.curvature / scale.square()
        damping = _damping(gradient.abs(), curvature, radius, damping)
        step = -gradient / (curvature + damping)
        length = step.abs()
        radius = torch.where(moved, radius, torch.minimum(radius, length))
        candidate = shift + step / scale
        there = problem.linearize(candidate)

        actual = torch.where(0.01 * there.cost < here.cost, 1 - there.cost / here.cost, -1)
        linear, damped = curvature * step * step / here.cost, damping * step * step / here.cost
        predicted = linear + 2 * damped
        ratio = actual / predicted
        radius, damping = _next_region(
            radius, damping, length, ratio, actual, slope=-(linear + damped)
        )

        better = going & (ratio >= _LEAST_RATIO)
        moved = moved | better
        shift = torch.where(better, candidate, shift)
        here = _Linearized(
            *(torch.where(better, new, old) for new, old in zip(there, here, strict=True))
        )
        ended = (actual.abs() <= _FTOL) & (predicted <= _FTOL) & (ratio <= 2)
        ended = ended | (radius <= _XTOL * scale * shift.abs())
        scale = torch.maximum(scale, here.curvature.sqrt())
        going = going & ~ended & ~_is_flat(here)
    return shift


def _is_flat(here: _Linearized) -> Tensor:
    """Tell where the residuals are orthogonal to what a step would change."""
    return here.gradient.abs() <= _GTOL * (here.curvature * here.cost).sqrt()


def _next_region(
    radius: Tensor, damping: Tensor, length: Tensor, ratio: Tensor, actual: Tensor, slope: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the trust region's radius and the damping after a step.

    Parameters
    ----------
    radius, damping, length
        Of the step.
    ratio, actual
        Relative decrease of the cost over the predicted one, and itself.
    slope
        Directional derivative of the cost along the step, relative to the cost.
    """
    poor = ratio <= 0.25
    good = ~poor & ((damping == 0) | (ratio >= 0.75))
    shrink = torch.where(actual >= 0, 0.5, 0.5 * slope / (slope + 0.5 * actual))
    shrink = torch.where((actual == -1) | (shrink < 0.1), 0.1, shrink)
    larger = torch.where(good, 2 * length, radius)
    smaller = shrink * torch.minimum(radius, 10 * length)
    weaker = torch.where(good, damping / 2, damping)
    return torch.where(poor, smaller, larger), torch.where(poor, damping / shrink, weaker)


def _damping(steepness: Tensor, curvature: Tensor, radius: Tensor, damping: Tensor) -> Tensor:
    """Return the damping that keeps the step within a tenth of the trust region's radius."""
    most = steepness / radius
    exact = most - curvature
    kept = torch.minimum(torch.maximum(damping, exact), most)
    fits = (steepness / (curvature + kept) - radius).abs() <= 0.1 * radius
    free = steepness / curvature <= 1.1 * radius
    return torch.where(free, 0, torch.where(fits, kept, exact))


def _samples(points: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Sample the image plane (S, S, 2), the points (B, S, S, 3), and which count (B, S, S)."""
    batch, height, width, _ = points.shape
    plane = view_plane_uv(height, width, width / height, points.float())
    size = (_SAMPLES, _SAMPLES)
    uv = interpolate(plane[None], size, mode='nearest')[0].permute(1, 2, 0)
    xyz = interpolate(points.float().permute(0, 3, 1, 2), size, mode='nearest').permute(0, 2, 3, 1)
    if mask is None:
        return uv, xyz, torch.ones(batch, *size, dtype=torch.bool, device=points.device)
    return uv, xyz, interpolate(mask[:, None].float(), size, mode='nearest')[:, 0] > 0
