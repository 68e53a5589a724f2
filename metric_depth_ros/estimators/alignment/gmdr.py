# SPDX-License-Identifier: Apache-2.0
"""GMDR: the prior aligned to the prompt as a whole image. Torch only.

Two readings of the published text. ``'global'``: one scale and shift in inverse depth over all
prompts (Prior-Depth-Anything, arXiv:2505.10565). ``'lwlr'``: that, then locally weighted linear
regression in depth with few guide points (See3D, arXiv:2412.06699; the public form is
FrozenRecon's, arXiv:2308.05733).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from metric_depth_ros.estimators.alignment.prompt_list import PromptList, has_depth, inverse_depth
from metric_depth_ros.estimators.alignment.scale_shift import fit_global
from metric_depth_ros.estimators.threads import one_thread
from metric_depth_ros.networks.prompt_choices import GMDR_MODES

_BANDWIDTH_PX = 50.0  # standard deviation of the guides' weights
_GRID_STRIDE_PX = 32
_GUIDE_CELLS = 10  # a side: about a hundred guides
_GUIDE_ERROR = 0.15  # relative depth error after the global fit that disqualifies a guide
_SHIFT_RIDGE = 1.0  # square meters


@one_thread()
def global_alignment(
    prior: Tensor,
    prompt: Tensor,
    mask: Tensor | None = None,
    *,
    mode: str = 'global',
    regularized: bool = True,
) -> Tensor:
    """Align a prior to all prompts of its image; prompts are not written into the result.

    Parameters
    ----------
    prior, prompt, mask
        As in `pixel_alignment`.
    mode
        ``'global'`` or ``'lwlr'``.
    regularized
        Fall back where the fit is degenerate, and keep results near the prompts' range.

    Returns
    -------
    Tensor
        (B, H, W) float32 inverse depth in 1/m; NaN where the prior is.

    Raises
    ------
    ValueError
        Unknown mode.
    """
    if mode not in GMDR_MODES:
        raise ValueError(f'mode is {mode!r}, expected one of {", ".join(GMDR_MODES)}.')
    if mask is None:
        mask = has_depth(prompt)
    prompts = PromptList.from_map(prompt, mask & ~prior.isnan())
    if prompts.pixel.shape[1] == 0:
        return prior
    fit = fit_global(
        prompts.sample(prior), prompts.inverse, prompts.valid, regularized=regularized
    )
    scale, shift = (value.float()[:, None, None] for value in fit)
    inverse = torch.addcmul(shift, scale, prior)
    if regularized:
        inverse = prompts.limit(inverse)
    if mode == 'global':
        return inverse
    inverse = _regress_locally(inverse, prompts)
    return prompts.limit(inverse) if regularized else inverse


def _regress_locally(inverse: Tensor, prompts: PromptList) -> Tensor:
    """Correct a globally aligned map by a scale and shift in depth that vary slowly."""
    height, width = inverse.shape[1:]
    guides = _choose_guides(inverse, prompts)
    # float64 holds the weights of guides some forty bandwidths away.
    guess = inverse_depth(guides.sample(inverse).double())
    target = inverse_depth(guides.inverse.double())
    usable = guides.valid & (guess > 0) & (target > 0)
    usable &= (guess - target).abs() <= _GUIDE_ERROR * target
    rows, columns = (
        (torch.arange(cells, dtype=torch.float64, device=inverse.device) + 0.5) * side / cells
        - 0.5
        for side, cells in ((height, _cells(height)), (width, _cells(width)))
    )
    down = rows[:, None] - torch.div(guides.pixel, width, rounding_mode='floor')[:, None]
    right = columns[:, None] - (guides.pixel % width)[:, None]
    squared = down.square()[:, :, None] + right.square()[:, None]  # (B, h, w, guides)
    weight = torch.exp(squared / (-2.0 * _BANDWIDTH_PX**2)) * usable[:, None, None]
    guess, target = guess[:, None, None], target[:, None, None]
    dd, d, n = ((weight * x).sum(-1) for x in (guess * guess, guess, torch.ones_like(guess)))
    dy, y = ((weight * x).sum(-1) for x in (guess * target, target))
    n = n + _SHIFT_RIDGE
    determinant = dd * n - d * d
    scale = (n * dy - d * y) / determinant
    shift = (dd * y - d * dy) / determinant
    sound = (scale > 0) & scale.isfinite() & shift.isfinite()
    scale = torch.where(sound, scale, torch.ones_like(scale))
    shift = torch.where(sound, shift, torch.zeros_like(shift))
    grid = torch.stack((scale, shift), dim=1).float()
    scale, shift = interpolate(
        grid, size=(height, width), mode='bilinear', align_corners=False
    ).unbind(1)
    corrected = scale / inverse + shift  # meters; infinite stays infinite
    keeps = torch.isnan(inverse) | (corrected > 0)
    return torch.where(keeps, corrected.reciprocal(), inverse)


def _cells(side: int) -> int:
    return max(1, round(side / _GRID_STRIDE_PX))


def _choose_guides(inverse: Tensor, prompts: PromptList) -> PromptList:
    """Return the middle one of the prompts of every cell of a coarse grid."""
    height, width = prompts.height, prompts.width
    row = torch.div(prompts.pixel, width, rounding_mode='floor')
    cell_row = row * _GUIDE_CELLS // height
    cell_column = (prompts.pixel % width) * _GUIDE_CELLS // width
    cells = _GUIDE_CELLS**2
    cell = torch.where(prompts.valid, cell_row * _GUIDE_CELLS + cell_column, cells)
    order = cell.argsort(dim=1, stable=True)
    sorted_cell = cell.gather(1, order)
    wanted = torch.arange(cells, device=cell.device).expand(len(cell), -1).contiguous()
    first = torch.searchsorted(sorted_cell.contiguous(), wanted)
    end = torch.searchsorted(sorted_cell.contiguous(), wanted, right=True)
    middle = torch.div(first + end, 2, rounding_mode='floor').clamp(max=cell.shape[1] - 1)
    slot = order.gather(1, middle)
    return PromptList(
        height,
        width,
        prompts.pixel.gather(1, slot),
        prompts.inverse.gather(1, slot),
        end > first,
    )
