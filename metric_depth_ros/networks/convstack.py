# SPDX-License-Identifier: Apache-2.0
"""MoGe's convolutional decoder: a pyramid of residual blocks, each level twice the last one.

Shared by MoGe-2 (Student-PointMap) and LingBot-Depth, neck and heads alike. Attributes carry
the authors' names, so that the state dict is theirs. Imports torch.

Source: Wang et al., "MoGe-2" (2025), and its reference code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

LEVELS = 5
NORMS = ('none', 'layer_norm', 'group_norm', 'instance_norm')
RESAMPLERS = ('conv_transpose', 'bilinear', 'nearest', 'pixel_shuffle')

ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    'relu': nn.ReLU,
    'leaky_relu': nn.LeakyReLU,
    'silu': nn.SiLU,
    'elu': nn.ELU,
}

_MOGE_DIMS = (1024, 256, 128, 64, 32)
_MOGE_RESAMPLERS = ('conv_transpose', 'conv_transpose', 'conv_transpose', 'bilinear')
_LEAKY_SLOPE = 0.2
_GROUP_CHANNELS = 32


@dataclass(frozen=True)
class ConvStackConfig:
    """Shape of a `ConvStack`; sequences have one entry a level.

    Parameters
    ----------
    dim_in, dim_out
        Channels in and out; None where a level takes or gives its features as they are.
    dim_res_blocks
        Channels inside.
    num_res_blocks
        Residual blocks.
    resamplers
        How each level but the last is doubled.
    hidden_factor
        Channels between the two convolutions of a residual block, as a multiple.
    in_norm, hidden_norm
        Normalization before the first and the second convolution of a residual block.
    activation
        Activation of a residual block.
    """

    dim_in: tuple[int | None, ...]
    dim_out: tuple[int | None, ...]
    dim_res_blocks: tuple[int, ...]
    num_res_blocks: tuple[int, ...]
    resamplers: tuple[str, ...]
    hidden_factor: int = 1
    in_norm: str = 'layer_norm'
    hidden_norm: str = 'group_norm'
    activation: str = 'relu'


def moge_neck() -> ConvStackConfig:
    """Return the neck that MoGe-2 and LingBot-Depth were released with."""
    return ConvStackConfig(
        dim_in=(_MOGE_DIMS[0] + 2, 2, 2, 2, 2),
        dim_out=(None,) * LEVELS,
        dim_res_blocks=_MOGE_DIMS,
        num_res_blocks=(0, 2, 2, 2, 0),
        resamplers=_MOGE_RESAMPLERS,
        in_norm='none',
        hidden_norm='none',
    )


def moge_head(dim_out: int) -> ConvStackConfig:
    """Return the head that MoGe-2 and LingBot-Depth were released with."""
    return ConvStackConfig(
        dim_in=_MOGE_DIMS,
        dim_out=(None, None, None, None, dim_out),
        dim_res_blocks=_MOGE_DIMS,
        num_res_blocks=(0, 1, 1, 1, 0),
        resamplers=_MOGE_RESAMPLERS,
        in_norm='none',
        hidden_norm='none',
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each after its normalization and activation, added to the input."""

    def __init__(self, dim: int, config: ConvStackConfig) -> None:
        super().__init__()
        hidden = dim * config.hidden_factor
        self.layers = nn.Sequential(
            _norm(config.in_norm, dim),
            _activation(config.activation),
            _conv3x3(dim, hidden),
            _norm(config.hidden_norm, hidden),
            _activation(config.activation),
            _conv3x3(hidden, dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        return x + self.layers(x)


class ConvStack(nn.Module):
    """Pyramid decoder from a grid (h, w) to (16 h, 16 w).

    Parameters
    ----------
    config
        Its shape.
    """

    def __init__(self, config: ConvStackConfig) -> None:
        super().__init__()
        dims = config.dim_res_blocks
        self.input_blocks = nn.ModuleList(
            _conv1x1_or_identity(dim_in, dim)
            for dim_in, dim in zip(config.dim_in, dims, strict=True)
        )
        self.resamplers = nn.ModuleList(
            _resampler(kind, dim, finer)
            for kind, (dim, finer) in zip(config.resamplers, pairwise(dims), strict=True)
        )
        self.res_blocks = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(dim, config) for _ in range(count)))
            for dim, count in zip(dims, config.num_res_blocks, strict=True)
        )
        self.output_blocks = nn.ModuleList(
            nn.Identity() if dim_out is None else nn.Conv2d(dim, dim_out, 1)
            for dim, dim_out in zip(dims, config.dim_out, strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the features of all levels, coarsest first, from those that enter them."""
        outputs = []
        x: Tensor | None = None
        for level, feature in enumerate(features):
            entering = self.input_blocks[level](feature)
            x = entering if x is None else self.resamplers[level - 1](x) + entering
            x = self.res_blocks[level](x)
            outputs.append(self.output_blocks[level](x))
        return outputs


def _conv3x3(dim_in: int, dim_out: int) -> nn.Conv2d:
    return nn.Conv2d(dim_in, dim_out, 3, padding=1, padding_mode='replicate')


def _conv1x1_or_identity(dim_in: int | None, dim_out: int) -> nn.Module:
    return nn.Identity() if dim_in is None else nn.Conv2d(dim_in, dim_out, 1)


def _norm(kind: str, dim: int) -> nn.Module:
    if kind == 'layer_norm':
        return nn.GroupNorm(1, dim)
    if kind == 'group_norm':
        return nn.GroupNorm(dim // _GROUP_CHANNELS, dim)
    if kind == 'instance_norm':
        return nn.InstanceNorm2d(dim)
    return nn.Identity()


def _activation(kind: str) -> nn.Module:
    return nn.LeakyReLU(_LEAKY_SLOPE) if kind == 'leaky_relu' else ACTIVATIONS[kind]()


def _resampler(kind: str, dim_in: int, dim_out: int) -> nn.Sequential:
    if kind == 'conv_transpose':
        enlarge: nn.Module = nn.ConvTranspose2d(dim_in, dim_out, kernel_size=2, stride=2)
        return nn.Sequential(enlarge, _conv3x3(dim_out, dim_out))
    if kind == 'pixel_shuffle':
        return nn.Sequential(
            _conv3x3(dim_in, 4 * dim_out), nn.PixelShuffle(2), _conv3x3(dim_out, dim_out)
        )
    enlarge = nn.Upsample(
        scale_factor=2, mode=kind, align_corners=False if kind == 'bilinear' else None
    )
    return nn.Sequential(enlarge, _conv3x3(dim_in, dim_out))
