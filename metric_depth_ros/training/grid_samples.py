# SPDX-License-Identifier: Apache-2.0
"""One valid pixel for each cell of a grid: maps thinned without losing sparse depth. Torch.

The figures of MoGe (`evaluation.moge_protocol`) thin maps in the same way.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from metric_depth_ros.geometry.grid_cells import cell_windows


class GridSamples(NamedTuple):
    """The pixels of a grid's cells.

    Parameters
    ----------
    pixel
        (B, cells * cells) int64, in the flattened map.
    found
        (B, cells * cells) bool, false where a cell has no valid pixel; its index is then
        arbitrary.
    """

    pixel: Tensor
    found: Tensor

    def of(self, values: Tensor) -> Tensor:
        """Return the samples (B, cells * cells, C) of maps (B, H, W, C)."""
        flat = values.flatten(1, 2)
        return flat.gather(1, self.pixel[..., None].expand(-1, -1, flat.shape[-1]))


def grid_samples(mask: Tensor, cells: int) -> GridSamples:
    """Return, for each of cells x cells cells, the valid pixel nearest to its center.

    Parameters
    ----------
    mask
        (B, H, W) bool.
    cells
        Along each side. On a side of fewer pixels, some pixels stand for several cells.
    """
    height, width = mask.shape[1:]
    rows, beside_rows = _windows(height, cells, mask.device)
    columns, beside_columns = _windows(width, cells, mask.device)
    distance = (
        beside_rows.square()[:, None, :, None] + beside_columns.square()[None, :, None, :]
    ).flatten(2)
    pixel = (rows[:, None, :, None] * width + columns[None, :, None, :]).flatten(2)
    # What lies beyond the border is infinitely far from the center.
    valid = mask.flatten(1)[:, pixel] & distance.isfinite()
    nearest = torch.where(valid, distance, torch.inf).argmin(-1, keepdim=True)
    chosen = pixel.expand(len(mask), -1, -1, -1).gather(-1, nearest)
    return GridSamples(chosen.flatten(1), valid.any(-1).flatten(1))


def _windows(side: int, cells: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the pixels (cells, n) of every cell along one axis, and how far from its center."""
    pixels, offsets = map(torch.from_numpy, cell_windows(side, cells))
    return pixels.to(device), offsets.float().to(device)
