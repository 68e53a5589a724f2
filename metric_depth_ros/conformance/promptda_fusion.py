# SPDX-License-Identifier: Apache-2.0
"""Prompt injection of PromptDA: its fusion block and its whole depth head, from transformers.

Reference only: what runs is `networks.teacher.PromptBranch`, which follows this block. Here
transformers' layers carry the authors' names, so that both can be held against the authors'
values. Imports torch and transformers.

Source: Lin et al., "Prompting Depth Anything for 4K Resolution Accurate Metric Depth
Estimation" (CVPR 2025), section 3.2, and its reference code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PromptDepthAnythingConfig
from transformers.models.prompt_depth_anything.modeling_prompt_depth_anything import (
    PromptDepthAnythingDepthEstimationHead,
    PromptDepthAnythingFeatureFusionLayer,
    PromptDepthAnythingNeck,
)

from metric_depth_ros.networks.key_names import State, inverted, with_renamed_keys

PATCH_SIZE = 14
_LEVELS = 4
_HIDDEN = 32

# Official prefix -> prefix in transformers.
_BLOCK_NAMES = {
    **{
        f'resConfUnit{unit}.conv{layer}.': f'residual_layer{unit}.convolution{layer}.'
        for unit in (1, 2)
        for layer in (1, 2)
    },
    **{
        f'resConfUnit_depth.{index}.': f'prompt_depth_layer.convolution{layer}.'
        for layer, index in enumerate((0, 2, 4), start=1)
    },
    'out_conv.': 'projection.',
}
_LAYER_NAMES = {official: f'layer.{ours}' for official, ours in _BLOCK_NAMES.items()}
_HEAD_NAMES = {
    **{
        f'{official}.{level}.': f'neck.reassemble_stage.layers.{level}.{ours}.'
        for official, ours in (('projects', 'projection'), ('resize_layers', 'resize'))
        for level in range(_LEVELS)
    },
    **{f'scratch.layer{level + 1}_rn.': f'neck.convs.{level}.' for level in range(_LEVELS)},
    **{
        f'scratch.refinenet{_LEVELS - step}.{official}': f'neck.fusion_stage.layers.{step}.{ours}'
        for step in range(_LEVELS)
        for official, ours in _BLOCK_NAMES.items()
    },
    'scratch.output_conv1.': 'head.conv1.',
    'scratch.output_conv2.0.': 'head.conv2.',
    'scratch.output_conv2.2.': 'head.conv3.',
}


@dataclass(frozen=True)
class PromptHeadConfig:
    """Shape of a depth head.

    Parameters
    ----------
    in_channels
        Channels of the transformer's tokens.
    features
        Channels of the fusion blocks.
    out_channels
        Channels of the four reassembled levels, finest first.
    """

    in_channels: int
    features: int
    out_channels: tuple[int, ...]


class PromptFusionBlock(nn.Module):
    """Add a skip connection, refine, add the prompt, enlarge.

    Parameters
    ----------
    features
        Channels in and out.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        config = PromptDepthAnythingConfig(fusion_hidden_size=features)
        self.layer = PromptDepthAnythingFeatureFusionLayer(config)

    def forward(
        self,
        x: Tensor,
        skip: Tensor | None = None,
        prompt: Tensor | None = None,
        size: Sequence[int] | None = None,
    ) -> Tensor:
        """Return features (B, C, h', w') of the given size, or of twice that of `x`.

        Parameters
        ----------
        x, skip
            (B, C, h, w).
        prompt
            (B, 1, H, W) normalized depth of any size, or None for no prompt; a prompt of zeros
            is not the same, for the branch has biases.
        size
            Height and width of the result.
        """
        return self.layer(x, skip, size=size, prompt_depth=prompt)

    def from_official(self, state: State) -> dict[str, Tensor]:
        """Give the authors' state dict this module's names."""
        return with_renamed_keys(state, _LAYER_NAMES)

    def to_official(self, state: State) -> dict[str, Tensor]:
        """Give this module's state dict the authors' names."""
        return with_renamed_keys(state, inverted(_LAYER_NAMES))


class PromptHead(nn.Module):
    """Tokens of four blocks and a prompt in, normalized depth out.

    Parameters
    ----------
    config
        Its shape.
    """

    def __init__(self, config: PromptHeadConfig) -> None:
        super().__init__()
        theirs = PromptDepthAnythingConfig(
            patch_size=PATCH_SIZE,
            reassemble_hidden_size=config.in_channels,
            neck_hidden_sizes=list(config.out_channels),
            fusion_hidden_size=config.features,
            head_hidden_size=_HIDDEN,
            depth_estimation_type='metric',
        )
        self.neck = PromptDepthAnythingNeck(theirs)
        self.head = PromptDepthAnythingDepthEstimationHead(theirs)

    def forward(self, tokens: Sequence[Tensor], rows: int, columns: int, prompt: Tensor) -> Tensor:
        """Return depth in [0, 1] (B, 1, 14 rows, 14 columns).

        Parameters
        ----------
        tokens
            Four of (B, rows * columns, C).
        rows, columns
            Grid of the patches.
        prompt
            (B, 1, H, W) from `normalize_prompt`.
        """
        with_class_token = [torch.cat((one[:, :1], one), dim=1) for one in tokens]  # unused there
        features = self.neck(with_class_token, rows, columns, prompt_depth=prompt)
        return self.head(features, rows, columns)[:, None]

    def from_official(self, state: State) -> dict[str, Tensor]:
        """Give the authors' state dict this module's names."""
        return with_renamed_keys(state, _HEAD_NAMES)

    def to_official(self, state: State) -> dict[str, Tensor]:
        """Give this module's state dict the authors' names."""
        return with_renamed_keys(state, inverted(_HEAD_NAMES))


def normalize_prompt(prompt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale metric prompts (B, 1, H, W) to [0, 1]; NaN for a prompt of one single depth.

    Returns
    -------
    tuple
        The scaled prompts, and the smallest and the largest depth (B, 1, 1, 1) in meters.
    """
    nearest = prompt.amin(dim=(1, 2, 3), keepdim=True)
    farthest = prompt.amax(dim=(1, 2, 3), keepdim=True)
    return (prompt - nearest) / (farthest - nearest), nearest, farthest


def denormalize_depth(depth: Tensor, nearest: Tensor, farthest: Tensor) -> Tensor:
    """Return meters from the head's output, given what `normalize_prompt` returned."""
    return depth * (farthest - nearest) + nearest
