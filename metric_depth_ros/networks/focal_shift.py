# SPDX-License-Identifier: Apache-2.0
"""Focal length and depth shift of an affine point map, as MoGe recovers them.

A plain least-squares fit: not robust, which MoGe's own mask makes up for. `focal` is relative to
half the diagonal of the image. Imports torch, NumPy and SciPy.

Source: Wang et al., "MoGe" (CVPR 2025), section 3.1, and its reference code.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from torch import Tensor
from torch.nn.functional import interpolate

from metric_depth_ros.networks.convstack import view_plane_uv

Array = NDArray[np.floating]

_SAMPLES = 64  # a side, whatever the aspect
_FTOL = 1e-3
_POINTS_NEEDED = 2


class FocalShift(NamedTuple):
    """`focal` (B,) relative to half the diagonal; `shift` (B,) added to z. Both float32."""

    focal: Tensor
    shift: Tensor


def recover_focal_shift(
    points: Tensor, mask: Tensor | None = None, focal: Tensor | None = None
) -> FocalShift:
    """Find the shift of z, and the focal length unless known, that make the points a pinhole's.

    Fewer than two points end in shift 0 and, unless known, focal 1.

    Parameters
    ----------
    points
        (B, H, W, 3).
    mask
        (B, H, W) bool of the points that count, or None for all.
    focal
        (B,) known focal lengths, or None.

    Raises
    ------
    ValueError
        A point that counts is not finite, or lies at z = 0.
    """
    batch, height, width, _ = points.shape
    plane = view_plane_uv(height, width, width / height, points.float())
    size = (_SAMPLES, _SAMPLES)
    uv = interpolate(plane[None], size, mode='nearest')[0].permute(1, 2, 0)
    xyz = interpolate(points.float().permute(0, 3, 1, 2), size, mode='nearest').permute(0, 2, 3, 1)
    counts = torch.ones(batch, *size, dtype=torch.bool)
    if mask is not None:
        counts = interpolate(mask[:, None].float(), size, mode='nearest')[:, 0].cpu() > 0
    known = [None] * batch if focal is None else focal.tolist()
    uv_array, xyz_array = uv.cpu().numpy(), xyz.detach().cpu().numpy()
    solved = [
        _solve(uv_array[keep], xyz_array[sample][keep], known[sample])
        for sample, keep in enumerate(counts.numpy())
    ]
    found = torch.tensor(solved, dtype=torch.float32, device=points.device)
    return FocalShift(found[:, 0], found[:, 1])


def _solve(uv: Array, xyz: Array, focal: float | None) -> tuple[float, float]:
    """Return focal and shift for points (N, 3) seen at (N, 2)."""
    if len(xyz) < _POINTS_NEEDED:
        return (1.0 if focal is None else focal), 0.0
    xy, z = xyz[:, :2], xyz[:, 2]

    def residuals(shift: Array) -> Array:
        projected = xy / (z + shift)[:, None]
        scale = _best_focal(projected, uv) if focal is None else focal
        return (scale * projected - uv).ravel()

    shift = np.float32(least_squares(residuals, x0=0.0, ftol=_FTOL, method='lm').x.item())
    if focal is None:
        focal = _best_focal(xy / (z + shift)[:, None], uv)
    return focal, float(shift)


def _best_focal(projected: Array, uv: Array) -> float:
    return float((projected * uv).sum() / np.square(projected).sum())
