# SPDX-License-Identifier: Apache-2.0
"""The k nearest prompt pixels of a grid of positions, exact on every device.

On the CPU a k-d tree per image. Elsewhere a search that needs no tree and no loop over the data:
prompts are pixels, so the k nearest prompts of one image row are found by bisection. The k
nearest overall lie in the k rows whose nearest prompt is nearest, because every other row holds
nothing closer than those k prompts; and those rows lie, for the same reason, in the k blocks of
rows that come closest. Three small selections thus replace the comparison with all prompts.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from metric_depth_ros.estimators.alignment.prompt_list import PromptList

_CHUNK_ELEMENTS = 1 << 26  # of the largest intermediate array: 256 MiB


def nearest_prompts(
    prompts: PromptList, rows: Tensor, columns: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Find the nearest prompts by Euclidean distance in pixels.

    Parameters
    ----------
    prompts
        Prompts of B images, one of which has at least one.
    rows, columns
        (h,) and (w,) ascending float32 pixel coordinates, whose product is the query grid.
    count
        Neighbors k per position.

    Returns
    -------
    slot : Tensor
        (B, h, w, k) int64 index into the lists of `prompts`; any, where there is no neighbor.
    squared_distance : Tensor
        (B, h, w, k) float32 squared pixels; infinite where the image has fewer than k prompts.
        The nearest is not necessarily first.
    """
    if prompts.pixel.device.type == 'cpu':
        return tree_search(prompts, rows, columns, count)
    return row_search(prompts, rows, columns, count)


def tree_search(
    prompts: PromptList, rows: Tensor, columns: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Search with one k-d tree per image; arguments and results of `nearest_prompts`."""
    grid = np.stack(np.meshgrid(rows.numpy(), columns.numpy(), indexing='ij'), axis=-1)
    found = [
        _query_tree(pixel[valid].numpy(), prompts.width, grid, count)
        for pixel, valid in zip(prompts.pixel, prompts.valid, strict=True)
    ]
    slot = torch.from_numpy(np.stack([slots for slots, _ in found]))
    squared = torch.from_numpy(np.stack([squared for _, squared in found]))
    return slot, squared


def _query_tree(
    pixel: np.ndarray, width: int, grid: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    if not len(pixel):
        shape = (*grid.shape[:2], count)
        return np.zeros(shape, np.int64), np.full(shape, np.inf, np.float32)
    # Tight boxes and medians cost more to build than they save on points this evenly spread.
    points = np.stack(np.divmod(pixel, width), axis=-1)
    tree = cKDTree(points, compact_nodes=False, balanced_tree=False)
    distance, found = tree.query(grid, k=np.arange(1, count + 1))
    slot = np.where(np.isinf(distance), 0, found)
    return slot.astype(np.int64, copy=False), np.square(distance).astype(np.float32)


def row_search(
    prompts: PromptList, rows: Tensor, columns: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Search by rows, without a tree; arguments and results of `nearest_prompts`.

    Shapes depend on the sizes only, never on where the prompts lie.
    """
    # Selecting among height/block blocks, then count * block rows, is cheapest at this size.
    block = max(1, round(math.sqrt(prompts.height / count)))
    height = -(-prompts.height // block) * block
    in_row, slot_in_row = _nearest_in_rows(prompts, height, columns, count)
    nearest = in_row.amin(-1)
    chunk = max(1, _CHUNK_ELEMENTS // max(1, nearest.numel()))
    found = [
        _nearest_across_rows(in_row, slot_in_row, nearest, part, block)
        for part in rows.split(chunk)
    ]
    return torch.cat([slot for slot, _ in found], 1), torch.cat([sq for _, sq in found], 1)


def _nearest_in_rows(
    prompts: PromptList, height: int, columns: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Return squared distance and slot, both (B, height, w, k), of the nearest in each row."""
    batch, most = prompts.pixel.shape
    device, width = prompts.pixel.device, prompts.width
    row_start = torch.arange(height, device=device)[:, None] * width
    first_right = (row_start + columns.ceil().long().clamp(0, width)).flatten()
    right = torch.searchsorted(prompts.pixel, first_right.expand(batch, -1).contiguous())
    right = right.reshape(batch, height, len(columns), 1)
    slot = right + torch.arange(-count, count, device=device)
    exists = (slot >= 0) & (slot < most)
    slot = slot.clamp(0, most - 1)
    pixel = prompts.pixel.gather(1, slot.flatten(1)).reshape(slot.shape)
    column = pixel - row_start[:, :, None]
    exists &= (column >= 0) & (column < width) & (pixel < prompts.height * width)
    squared = torch.where(exists, torch.square(column - columns[:, None]), torch.inf)
    # Leftward distances fall and rightward ones rise along the last axis, so that the smaller of
    # each pair that is k apart makes up the k smallest.
    left, right = squared.split(count, dim=-1)
    left_slot, right_slot = slot.split(count, dim=-1)
    return torch.minimum(left, right), torch.where(left <= right, left_slot, right_slot)


def _nearest_across_rows(
    in_row: Tensor, slot_in_row: Tensor, nearest: Tensor, rows: Tensor, block: int
) -> tuple[Tensor, Tensor]:
    """Return slot and squared distance, both (B, h, w, k), for some query rows."""
    batch, height, width, count = in_row.shape
    image_row = torch.arange(height, device=in_row.device)
    vertical = torch.square(rows[:, None] - image_row)  # (h, height)

    # The blocks of rows that come closest.
    blocks = height // block
    bound = nearest[:, None] + vertical[None, :, :, None]
    bound = bound.unflatten(2, (blocks, block)).amin(3)
    chosen = bound.topk(min(count, blocks), dim=2, largest=False, sorted=False).indices

    # The rows among them that come closest.
    row = (chosen[:, :, :, None] * block + image_row[:block, None]).flatten(2, 3)
    above = vertical[None, :, :, None].expand(batch, -1, -1, width)
    bound = above.gather(2, row) + nearest.gather(1, row.flatten(1, 2)).reshape(row.shape)
    closest = bound.topk(min(count, row.shape[2]), dim=2, largest=False, sorted=False).indices
    row = row.gather(2, closest).movedim(2, 3)  # (B, h, w, rows)

    # The prompts of those rows.
    image = torch.arange(batch, device=in_row.device)[:, None, None, None]
    column = torch.arange(width, device=in_row.device)[:, None]
    offset = vertical[torch.arange(len(rows), device=rows.device)[:, None, None], row]
    squared = (in_row[image, row, column] + offset[..., None]).flatten(3)
    best = squared.topk(count, dim=3, largest=False, sorted=False)
    slot = slot_in_row[image, row, column].flatten(3).gather(3, best.indices)
    return slot, best.values
