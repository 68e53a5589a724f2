# SPDX-License-Identifier: Apache-2.0
"""Points of the surface in chosen blocks of a distance field. Loads torch.

Extracting a mesh costs as much as all that is in memory; a cloud of what has changed costs as
much as that. The points are the zero crossings along the edges from voxel to voxel, where
marching cubes has its vertices too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 8  # voxels along each edge of a block
_FORWARD = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


@dataclass(frozen=True, eq=False)
class Field:
    """Blocks of a distance field with the next ones along each axis.

    Parameters
    ----------
    corners
        (N, 3) int64 block coordinates.
    tsdf
        (4, N, 8, 8, 8) signed distance, axes z, y, x: of the blocks themselves, and of the next
        ones along x, y and z. NaN where nothing is known.
    color
        (N, 8, 8, 8, 3) float of the blocks themselves.
    """

    corners: Tensor
    tsdf: Tensor
    color: Tensor


def crossings(field: Field, voxel_m: float) -> tuple[Tensor, Tensor]:
    """Return (M, 3) points in meters and (M, 3) colors of the surface in some blocks."""
    own = field.tsdf[0]
    padded = torch.full((len(own), *(BLOCK + 1,) * 3), torch.nan, device=own.device)
    padded[:, :-1, :-1, :-1] = own
    padded[:, :-1, :-1, -1] = field.tsdf[1][..., 0]
    padded[:, :-1, -1, :-1] = field.tsdf[2][:, :, 0]
    padded[:, -1, :-1, :-1] = field.tsdf[3][:, 0]
    points, colors = [], []
    for step in _FORWARD:
        x, y, z = step
        ahead = padded[:, z : z + BLOCK, y : y + BLOCK, x : x + BLOCK]
        # NaN compares false both ways: an edge needs both of its ends.
        cut = ((own >= 0.0) & (ahead < 0.0)) | ((own < 0.0) & (ahead >= 0.0))
        block, z_row, y_row, x_row = cut.nonzero(as_tuple=True)
        share = own[cut] / (own[cut] - ahead[cut])
        voxel = torch.stack((x_row, y_row, z_row), 1)
        start = field.corners[block] * BLOCK + voxel
        along = torch.tensor(step, device=own.device) * share[:, None]
        points.append((start + along) * voxel_m)
        colors.append(field.color[cut])
    return torch.cat(points).float(), torch.cat(colors)
