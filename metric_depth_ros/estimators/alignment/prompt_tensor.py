# SPDX-License-Identifier: Apache-2.0
"""The teacher's prompt: PDSA map, GMDR map and prompt mask as three channels. Torch only."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from metric_depth_ros.estimators.alignment.gmdr import global_alignment
from metric_depth_ros.estimators.alignment.pdsa import FAST_STRIDE, pixel_alignment
from metric_depth_ros.estimators.alignment.prompt_list import has_depth
from metric_depth_ros.estimators.threads import one_thread
from metric_depth_ros.networks.prompt_choices import PROMPT_NORMS

_LARGEST = 20.0  # of a normalized channel


class PromptTensor(NamedTuple):
    """Result of `prompt_tensor`.

    Parameters
    ----------
    channels
        (B, 3, H, W) float32: PDSA and GMDR inverse depth times `unit_m`, and the mask 0/1.
    unit_m
        (B,) float32 meters: depth = `unit_m` / the network's output.
    """

    channels: Tensor
    unit_m: Tensor


@one_thread()
def prompt_tensor(
    prior: Tensor,
    prompt: Tensor,
    *,
    norm: str = 'median',
    gmdr_mode: str = 'global',
    stride: int = FAST_STRIDE,
) -> PromptTensor:
    """Build the prompt of a batch of images.

    Parameters
    ----------
    prior
        (B, H, W) float32 inverse depth up to scale and shift.
    prompt
        (B, H, W) float32 meters; what is not positive and finite is no prompt.
    norm
        ``'median'``: in units of the image's median prompt depth, which makes the network's depth
        exactly proportional to the prompts' scale. ``'none'``: in 1/m.
    gmdr_mode, stride
        As in `global_alignment` and `pixel_alignment`.

    Returns
    -------
    PromptTensor
        An image without prompts has its prior in both maps, an empty mask and the unit 1 m. One
        whose prior is unknown or endless at every prompt is seen as flat where it is known.

    Raises
    ------
    ValueError
        Unknown normalization or mode.
    """
    if norm not in PROMPT_NORMS:
        raise ValueError(f'norm is {norm!r}, expected one of {", ".join(PROMPT_NORMS)}.')
    mask = has_depth(prompt)
    prior = _flat_where_untold(prior, mask)
    pixel_map = pixel_alignment(prior, prompt, mask, stride=stride).inverse
    global_map = global_alignment(prior, prompt, mask, mode=gmdr_mode)
    unit_m = prompt.new_ones(len(prompt))
    if norm == 'median':
        median = torch.where(mask, prompt, torch.nan).flatten(1).nanmedian(1).values
        unit_m = torch.where(median.isnan(), unit_m, median)
    maps = torch.stack((pixel_map, global_map), dim=1) * unit_m[:, None, None, None]
    maps = maps.nan_to_num(nan=0.0).clamp(0.0, _LARGEST)
    return PromptTensor(torch.cat((maps, mask[:, None].to(maps.dtype)), dim=1), unit_m)


def _flat_where_untold(prior: Tensor, mask: Tensor) -> Tensor:
    """Replace the prior of images of whose prompts it tells nothing by a flat one.

    Nothing says what its own unit is in meters, and the maps have to be in those of the prompt.
    """
    told = (mask & (prior > 0)).flatten(1).any(1)
    untold = (mask.flatten(1).any(1) & ~told)[:, None, None]
    flat = torch.where(mask | ~prior.isnan(), 1.0, torch.nan)
    return torch.where(untold, flat, prior)
