# SPDX-License-Identifier: Apache-2.0
"""The image plane of MoGe's networks: its coordinates, and points of depth seen through it.

Imports torch.

Source: Wang et al., "MoGe" (CVPR 2025), and its reference code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def view_plane_uv(rows: int, columns: int, aspect: float, like: Tensor) -> Tensor:
    """Return the normalized image plane (2, rows, columns): u, then v, at pixel centers.

    Both span ±1 along the diagonal of an image of that aspect (width / height), whatever the
    grid's own aspect.
    """
    diagonal = (1 + aspect**2) ** 0.5
    span_u, span_v = aspect / diagonal, 1 / diagonal
    u = _centers(span_u, columns, like.device)
    v = _centers(span_v, rows, like.device)
    return torch.stack(torch.meshgrid(u, v, indexing='xy')).to(like.dtype)


def normalized_intrinsics(focal: Tensor, aspect: float) -> Tensor:
    """Return (B, 3, 3) camera matrices in units of the image's width and height.

    Parameters
    ----------
    focal
        (B,) relative to half the diagonal of the image.
    aspect
        Width / height of the image.
    """
    diagonal = math.sqrt(1 + aspect**2)
    intrinsics = torch.zeros(len(focal), 3, 3, device=focal.device)
    intrinsics[:, 0, 0] = focal / 2 * diagonal / aspect
    intrinsics[:, 1, 1] = focal / 2 * diagonal
    intrinsics[:, :2, 2] = 0.5
    intrinsics[:, 2, 2] = 1
    return intrinsics


def project_back(depth: Tensor, intrinsics: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return the points (B, H, W, 3) of depth, x right, y down, z forward, in its unit.

    Parameters
    ----------
    depth
        (B, H, W) along the optical axis.
    intrinsics
        (B, 3, 3) camera matrices.
    u, v
        Image coordinates (W,) of the columns and (H,) of the rows, in the unit of `intrinsics`.
    """
    K = intrinsics[:, :, :, None]
    x = (u - K[:, 0, 2]) / K[:, 0, 0]
    y = (v - K[:, 1, 2]) / K[:, 1, 1]
    return torch.stack((depth * x[:, None, :], depth * y[:, :, None], depth), dim=-1)


def _centers(span: float, count: int, device: torch.device) -> Tensor:
    last = span * (count - 1) / count
    return torch.linspace(-last, last, count, device=device)
