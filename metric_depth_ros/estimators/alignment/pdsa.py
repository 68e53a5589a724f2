# SPDX-License-Identifier: Apache-2.0
"""PDSA: the prior aligned to the prompt pixel by pixel, with the nearest prompts. Torch only.

Every pixel gets its own scale and shift in inverse depth, from its five nearest prompts weighted
by 1/distance^2. Source: Prior-Depth-Anything (arXiv:2505.10565), coarse metric alignment.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from metric_depth_ros.estimators.alignment.local_fits import LocalFits
from metric_depth_ros.estimators.alignment.neighbors import nearest_prompts
from metric_depth_ros.estimators.alignment.prompt_list import PromptList, has_depth, inverse_depth
from metric_depth_ros.estimators.alignment.refinement import refine
from metric_depth_ros.estimators.threads import one_thread

NEIGHBORS = 5
FAST_STRIDE = 4


@dataclass(frozen=True, eq=False)
class PixelAlignment:
    """Result of `pixel_alignment`.

    Parameters
    ----------
    inverse
        (B, H, W) inverse depth in 1/m, the prompts' own at their pixels; NaN where the prior is.
    distance
        (B, h, w) pixels from each position of the solved grid to its nearest prompt, infinite
        without prompts.
    residual
        (B, h, w) root mean square misfit of the neighbors over their mean inverse depth; NaN
        without prompts.
    stride
        Pixels between the positions of the solved grid.
    """

    inverse: Tensor
    distance: Tensor
    residual: Tensor
    stride: int

    def to_image(self, grid: Tensor) -> Tensor:
        """Interpolate a (B, h, w) map of the solved grid to the image (B, H, W)."""
        return _to_image(grid[:, None], self.stride, self.inverse.shape[1:])[:, 0]


@one_thread()
def pixel_alignment(
    prior: Tensor,
    prompt: Tensor,
    mask: Tensor | None = None,
    *,
    stride: int = FAST_STRIDE,
    regularized: bool = True,
) -> PixelAlignment:
    """Align a prior to prompts with a scale and shift per pixel.

    Parameters
    ----------
    prior
        (B, H, W) float32 inverse depth up to scale and shift; NaN = unknown.
    prompt
        (B, H, W) float32 meters; what is not positive and finite is no prompt.
    mask
        (B, H, W) bool: these pixels are the prompts, whatever their depth, as in
        `PromptList.from_map`.
    stride
        1 is exact and solves every pixel in float64. A larger one solves a grid of that spacing
        in float32, interpolates scale and shift bilinearly, and solves the pixels again where
        neighboring grid positions disagree most.
    regularized
        Pull toward the global fit where the neighbors say little, use that fit where theirs is
        not increasing, and keep results within half the least and twice the largest prompt. Off,
        the bare least squares of the reference code remain.

    Returns
    -------
    PixelAlignment
        An image without prompts is returned as its prior; with one, only scaled.
    """
    if mask is None:
        mask = has_depth(prompt)
    anchors = PromptList.from_map(prompt, mask & ~prior.isnan())
    dtype = torch.float64 if stride == 1 else torch.float32
    if anchors.pixel.shape[1] == 0:
        return _unaligned(prior, prompt, mask, stride)
    fits = LocalFits.prepare(prior, anchors, dtype, regularized=regularized)
    rows, columns = (_centers(side, stride, prior.device) for side in prior.shape[1:])
    slot, squared = nearest_prompts(anchors, rows, columns, NEIGHBORS)
    near = fits.neighborhoods(slot, squared)
    grid = fits.solve(near)
    scale, shift = _to_image(torch.stack(grid, dim=1), stride, prior.shape[1:]).unbind(1)
    inverse = torch.addcmul(shift, scale, prior.to(dtype))
    if stride > 1:
        inverse = refine(inverse, prior, fits, grid, slot, stride)
    if regularized:
        inverse = anchors.limit(inverse)
    inverse = torch.where(mask, inverse_depth(prompt), inverse.float())
    distance = squared.amin(-1).sqrt()
    return PixelAlignment(inverse, distance, near.residual(grid).float(), stride)


def _unaligned(prior: Tensor, prompt: Tensor, mask: Tensor, stride: int) -> PixelAlignment:
    """Return the result of a batch without any prompt where the prior is known."""
    cells = [-(-side // stride) for side in prior.shape[1:]]
    distance = prior.new_full((len(prior), *cells), torch.inf)
    inverse = torch.where(mask, inverse_depth(prompt), prior)
    return PixelAlignment(inverse, distance, torch.full_like(distance, torch.nan), stride)


def _centers(side: int, stride: int, device: torch.device) -> Tensor:
    """Return pixel coordinates of the grid; half-pixel centers, as `interpolate` expects."""
    cells = -(-side // stride)
    return torch.arange(cells, dtype=torch.float32, device=device) * stride + (stride - 1) / 2


def _to_image(grid: Tensor, stride: int, size: torch.Size) -> Tensor:
    """Interpolate (B, C, h, w) of the grid positions bilinearly to (B, C, H, W)."""
    if stride == 1:
        return grid
    image = interpolate(grid, scale_factor=stride, mode='bilinear', align_corners=False)
    return image[..., : size[0], : size[1]]
