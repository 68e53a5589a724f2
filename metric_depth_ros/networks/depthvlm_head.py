# SPDX-License-Identifier: Apache-2.0
"""Depth from what a vision-language model makes of an image: the heads of DepthVLM.

Their inputs are four layers of tokens, one token for each 32x32 pixels. Module names are the
authors', so that their checkpoint keys fit. Imports torch.

Source: DepthVLM, whose head follows VGGT's and DPT's, but only ever makes maps larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

TOKEN_PX = 32

FEATURE_MODES = ('llm_last', 'concat', 'sum')


@dataclass(frozen=True)
class DptHeadConfig:
    """The head of the released models.

    Parameters
    ----------
    features
        Channels in which the four levels are merged.
    out_channels
        Channels of the four levels before that, the finest first.
    """

    features: int = 256
    out_channels: tuple[int, ...] = (256, 512, 1024, 1024)


@dataclass(frozen=True)
class MlpHeadConfig:
    """The head of the paper's ablation: every token answers for its own 32x32 pixels.

    Parameters
    ----------
    mlp_hidden
        Width of the hidden layer.
    feature_mode
        Which layers it sees: ``'llm_last'``, or all by ``'concat'`` or ``'sum'``.

    Raises
    ------
    ValueError
        Another feature mode.
    """

    mlp_hidden: int = 1024
    feature_mode: str = 'llm_last'

    def __post_init__(self) -> None:
        if self.feature_mode not in FEATURE_MODES:
            raise ValueError(
                f'feature_mode is {self.feature_mode!r}, expected one of '
                f'{", ".join(FEATURE_MODES)}'
            )


class HeadOutput(NamedTuple):
    """What a head answers for one image.

    Parameters
    ----------
    depth
        (H, W) meters along the optical Z axis, positive.
    logits
        (H, W) what softplus makes this depth of.
    """

    depth: Tensor
    logits: Tensor


class DptHead(nn.Module):
    """Four levels of strides 4 to 32 are merged from the coarsest up to half the image's size.

    Parameters
    ----------
    dim
        Width of the tokens.
    config
        Its shape.
    """

    def __init__(self, dim: int, config: DptHeadConfig) -> None:
        super().__init__()
        channels = config.out_channels
        self.norm = nn.LayerNorm(dim)
        self.projects = nn.ModuleList(nn.Conv2d(dim, width, 1) for width in channels)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(channels[0], channels[0], 8, 8),
                nn.ConvTranspose2d(channels[1], channels[1], 4, 4),
                nn.ConvTranspose2d(channels[2], channels[2], 2, 2),
                nn.Identity(),
            ]
        )
        self.scratch = _Scratch(config)

    def forward(
        self,
        tokens: Sequence[Tensor],
        grid: tuple[int, int],
        size: tuple[int, int] | None = None,
    ) -> HeadOutput:
        """Return the depth of one image.

        Parameters
        ----------
        tokens
            Four layers of (h * w, dim), row by row.
        grid
            (h, w).
        size
            (H, W) of the depth; None for 32 pixels a token.
        """
        levels = [
            resize(project(as_map(self.norm(layer), grid)))
            for layer, project, resize in zip(
                tokens, self.projects, self.resize_layers, strict=True
            )
        ]
        return _answer(self.scratch(levels, size or _size_px(grid)))


class MlpHead(nn.Module):
    """See `MlpHeadConfig`.

    Parameters
    ----------
    dim
        Width of the tokens.
    config
        Its shape.
    """

    def __init__(self, dim: int, config: MlpHeadConfig) -> None:
        super().__init__()
        self.feature_mode = config.feature_mode
        width = 4 * dim if config.feature_mode == 'concat' else dim
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, config.mlp_hidden),
            nn.GELU(),
            nn.Linear(config.mlp_hidden, TOKEN_PX * TOKEN_PX),
        )

    def forward(
        self,
        tokens: Sequence[Tensor],
        grid: tuple[int, int],
        size: tuple[int, int] | None = None,
    ) -> HeadOutput:
        """Return the depth of one image; arguments as of `DptHead.forward`."""
        rows, columns = grid
        blocks = self.mlp(self.norm(self._seen(tokens)))
        pixels = blocks.view(rows, columns, TOKEN_PX, TOKEN_PX).transpose(1, 2)
        logits = pixels.reshape(1, 1, *_size_px(grid))
        if size is not None:
            logits = resized(logits, size)
        return _answer(logits)

    def _seen(self, tokens: Sequence[Tensor]) -> Tensor:
        if self.feature_mode == 'concat':
            return torch.cat(list(tokens), dim=-1)
        if self.feature_mode == 'sum':
            return torch.stack(list(tokens)).sum(dim=0)
        return tokens[-1]


class _Scratch(nn.Module):
    """All that merges the levels, under the name that DPT once gave it."""

    def __init__(self, config: DptHeadConfig) -> None:
        super().__init__()
        width = config.features
        for level, channels in enumerate(config.out_channels, start=1):
            self.add_module(
                f'layer{level}_rn', nn.Conv2d(channels, width, 3, padding=1, bias=False)
            )
            self.add_module(f'refinenet{level}', _Fusion(width, has_skip=level < 4))
        self.output_conv1 = nn.Conv2d(width, width // 2, 3, padding=1)
        self.output_conv2 = nn.Sequential(
            nn.Conv2d(width // 2, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 1, 1)
        )

    def forward(self, levels: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Return (1, 1, H, W) before softplus from four levels, the finest first."""
        thin = [
            self.get_submodule(f'layer{level}_rn')(features)
            for level, features in enumerate(levels, start=1)
        ]
        merged: Tensor | None = None
        for level in (4, 3, 2, 1):
            finer = None if level == 1 else _size_of(thin[level - 2])
            merged = self.get_submodule(f'refinenet{level}')(thin[level - 1], merged, finer)
        assert merged is not None
        return self.output_conv2(resized(self.output_conv1(merged), size))


class _Fusion(nn.Module):
    def __init__(self, width: int, *, has_skip: bool) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(width, width, 1)
        if has_skip:
            self.resConfUnit1 = _ResidualUnit(width)
        self.resConfUnit2 = _ResidualUnit(width)

    def forward(
        self, features: Tensor, deeper: Tensor | None, size: tuple[int, int] | None
    ) -> Tensor:
        """Merge a level into what is deeper; return it at a size, or at twice its own."""
        merged = features if deeper is None else deeper + self.resConfUnit1(features)
        merged = self.resConfUnit2(merged)
        height, width = _size_of(merged)
        return self.out_conv(resized(merged, size or (2 * height, 2 * width)))


class _ResidualUnit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        # The authors' first ReLU works in place, so that it is its result that is added.
        positive = F.relu(features)
        return self.conv2(F.relu(self.conv1(positive))) + positive


def make_head(dim: int, config: DptHeadConfig | MlpHeadConfig) -> DptHead | MlpHead:
    """Return the head of a configuration."""
    return DptHead(dim, config) if isinstance(config, DptHeadConfig) else MlpHead(dim, config)


def as_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return (1, dim, h, w) of (h * w, dim) tokens, row by row."""
    return tokens.T.reshape(1, -1, *grid)


def resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (B, C, H, W) bilinearly with corners aligned."""
    return F.interpolate(values, size, mode='bilinear', align_corners=True)


def _answer(logits: Tensor) -> HeadOutput:
    logits = logits[0, 0]
    return HeadOutput(F.softplus(logits), logits)


def _size_px(grid: tuple[int, int]) -> tuple[int, int]:
    return TOKEN_PX * grid[0], TOKEN_PX * grid[1]


def _size_of(values: Tensor) -> tuple[int, int]:
    height, width = values.shape[-2:]
    return height, width
