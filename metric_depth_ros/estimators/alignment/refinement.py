# SPDX-License-Identifier: Apache-2.0
"""Exact fits where those of a coarse grid disagree. Torch only.

Interpolating scale and shift blurs the few places where they jump from one grid position to the
next, which holds most of the error of a coarse solution. The pixels between such positions are
solved again, each with the nearest of the prompts that the surrounding positions already found.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from metric_depth_ros.estimators.alignment.local_fits import LocalFits
from metric_depth_ros.estimators.alignment.prompt_list import PromptList
from metric_depth_ros.estimators.alignment.scale_shift import ScaleShift

_SHARE = 0.06  # of the image is solved again; twice that halves what error is left


def refine(
    inverse: Tensor,
    prior: Tensor,
    fits: LocalFits,
    grid: ScaleShift,
    slot: Tensor,
    stride: int,
) -> Tensor:
    """Solve the pixels again between the grid positions that disagree most.

    Parameters
    ----------
    inverse, prior
        (B, H, W) interpolated result and prior.
    grid
        (B, h, w) fits at the grid positions.
    slot
        (B, h, w, K) the neighbors they were made with.
    stride
        Pixels between grid positions.

    Returns
    -------
    Tensor
        (B, H, W) `inverse` with the better values written in.
    """
    batch, height, width = prior.shape
    count = slot.shape[-1]
    cell_rows, cell_columns = (side + 1 for side in grid.scale.shape[1:])
    disagreement = _disagreement(prior, fits, grid, stride).flatten(1)
    kept = max(1, round(_SHARE * cell_rows * cell_columns))
    cell = disagreement.topk(kept, dim=1, sorted=False).indices  # (B, cells)
    cell_row = torch.div(cell, cell_columns, rounding_mode='floor')
    cell_column = cell - cell_row * cell_columns

    # A cell reaches from the grid position above and left of it to its own number's.
    image = torch.arange(batch, device=cell.device)[:, None]
    corners = [
        slot[
            image,
            (cell_row - up).clamp(0, cell_rows - 2),
            (cell_column - left).clamp(0, cell_columns - 2),
        ]
        for up in (0, 1)
        for left in (0, 1)
    ]
    candidates, candidate_row, candidate_column = _distinct(
        fits.prompts,
        torch.cat(corners, dim=-1),
        (cell_row * stride)[..., None],
        (cell_column * stride)[..., None],
        2 * count,
    )

    offset = torch.arange(stride, device=cell.device) - (stride - stride // 2)
    row = ((cell_row * stride)[..., None] + offset)[..., None].expand(-1, -1, -1, stride)
    column = ((cell_column * stride)[..., None] + offset)[:, :, None].expand_as(row)
    row, column = row.flatten(2), column.flatten(2)  # (B, cells, pixels)
    squared = _squared_distance(
        row[..., None], column[..., None], candidate_row[:, :, None], candidate_column[:, :, None]
    )
    nearest = squared.topk(count, dim=-1, largest=False, sorted=False)
    chosen = candidates[:, :, None].expand(-1, -1, row.shape[2], -1).gather(-1, nearest.indices)
    fit = fits.solve(fits.neighborhoods(chosen, nearest.values))

    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    pixel = torch.where(inside, row * width + column, height * width).flatten(1)
    flat_prior = pad(prior.flatten(1), (0, 1)).gather(1, pixel).to(inverse.dtype)
    better = fit.scale.flatten(1) * flat_prior + fit.shift.flatten(1)
    refined = pad(inverse.flatten(1), (0, 1)).scatter(1, pixel, better)
    return refined[:, :-1].reshape(inverse.shape)


def _disagreement(prior: Tensor, fits: LocalFits, grid: ScaleShift, stride: int) -> Tensor:
    """Return (B, h + 1, w + 1) relative spread of the four corners' results mid-cell."""
    height, width = prior.shape[1:]
    rows = torch.arange(grid.scale.shape[1] + 1, device=prior.device) * stride
    columns = torch.arange(grid.scale.shape[2] + 1, device=prior.device) * stride
    middle = prior[:, rows.clamp(max=height - 1)][:, :, columns.clamp(max=width - 1)]
    scale, shift = (pad(value[:, None], (1, 1, 1, 1), mode='replicate')[:, 0] for value in grid)
    halves = slice(None, -1), slice(1, None)
    corners = torch.stack(
        [
            torch.addcmul(shift[:, up, left], scale[:, up, left], middle)
            for up in halves
            for left in halves
        ],
        dim=1,
    )
    if fits.pull is not None:
        corners = fits.prompts.limit(corners)
    spread = (corners.amax(1) - corners.amin(1)) / corners.abs().amax(1)
    return spread.nan_to_num(nan=0.0)


def _distinct(
    prompts: PromptList, slot: Tensor, row: Tensor, column: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the `count` prompts nearest to (row, column) among the slots, each once.

    Returns
    -------
    tuple of Tensor
        Slot int64, row and column float32, (B, cells, count) each. Where fewer are distinct the
        row is infinite.
    """
    slot = slot.sort(-1).values
    pixel = prompts.pixel.gather(1, slot.flatten(1)).reshape(slot.shape)
    prompt_row = torch.div(pixel, prompts.width, rounding_mode='floor')
    prompt_column = (pixel - prompt_row * prompts.width).float()
    absent = pad(slot[..., 1:] == slot[..., :-1], (1, 0)) | (prompt_row >= prompts.height)
    prompt_row = torch.where(absent, torch.inf, prompt_row.float())
    squared = _squared_distance(row, column, prompt_row, prompt_column)
    nearest = squared.topk(min(count, slot.shape[-1]), dim=-1, largest=False, sorted=False).indices
    slot, prompt_row, prompt_column = (
        values.gather(-1, nearest) for values in (slot, prompt_row, prompt_column)
    )
    return slot, prompt_row, prompt_column


def _squared_distance(
    row: Tensor, column: Tensor, prompt_row: Tensor, prompt_column: Tensor
) -> Tensor:
    down, right = row - prompt_row, column - prompt_column
    return torch.addcmul(down * down, right, right)
