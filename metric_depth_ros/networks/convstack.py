# SPDX-License-Identifier: Apache-2.0
"""MoGe's convolutional decoder: a pyramid of residual blocks, each level twice the last one.

Shared by MoGe-2 (Student-PointMap) and LingBot-Depth, neck and heads alike. Attributes carry
the authors' names, so that the state dict is theirs. Imports torch and `errors`.

Source: Wang et al., "MoGe-2" (2025), and its reference code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from metric_depth_ros.errors import InputError

LEVELS = 5

_ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    'relu': nn.ReLU,
    'leaky_relu': nn.LeakyReLU,
    'silu': nn.SiLU,
    'elu': nn.ELU,
}
_NORMS = ('none', 'layer_norm', 'group_norm', 'instance_norm')
_RESAMPLERS = ('conv_transpose', 'bilinear', 'nearest', 'pixel_shuffle')
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

    @classmethod
    def from_model_config(cls, config: Mapping[str, Any], name: str) -> ConvStackConfig:
        """Read the authors' configuration of one stack.

        Raises
        ------
        InputError
            A value of another kind than expected; the message names it.
        """
        try:
            dims = tuple(config['dim_res_blocks'])
            parsed = cls(
                dim_in=tuple(config['dim_in']),
                dim_out=_per_level(config['dim_out'], len(dims)),
                dim_res_blocks=dims,
                num_res_blocks=_per_level(config.get('num_res_blocks', 1), len(dims)),
                resamplers=_per_level(config['resamplers'], len(dims) - 1),
                hidden_factor=config.get('dim_times_res_block_hidden', 1),
                in_norm=config.get('res_block_in_norm', 'layer_norm'),
                hidden_norm=config.get('res_block_hidden_norm', 'group_norm'),
                activation=config.get('activation', 'relu'),
            )
        except (KeyError, TypeError) as error:
            raise InputError(
                'checkpoint_config',
                f'the {name} of the model_config cannot be read: {type(error).__name__} {error}.',
            ) from error
        parsed._check(name)
        return parsed

    def _check(self, name: str) -> None:
        lengths = {len(self.dim_in), len(self.dim_out), len(self.dim_res_blocks)}
        lengths |= {len(self.num_res_blocks), len(self.resamplers) + 1}
        if lengths != {LEVELS}:
            raise InputError(
                'checkpoint_config',
                f'the {name} of the model_config has {sorted(lengths)} levels, expected {LEVELS}.',
            )
        for value, known in (
            *((resampler, _RESAMPLERS) for resampler in self.resamplers),
            (self.in_norm, _NORMS),
            (self.hidden_norm, _NORMS),
            (self.activation, tuple(_ACTIVATIONS)),
        ):
            if value not in known:
                raise InputError(
                    'checkpoint_config',
                    f'the {name} of the model_config asks for {value!r}, expected one of '
                    f'{", ".join(known)}.',
                )


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


def view_plane_uv(rows: int, columns: int, aspect: float, like: Tensor) -> Tensor:
    """Return the normalized image plane (2, rows, columns): u, then v, at pixel centers.

    Both span ±1 along the diagonal of an image of that aspect (width / height), whatever the
    grid's own aspect.
    """
    diagonal = (1 + aspect**2) ** 0.5
    span_u, span_v = aspect / diagonal, 1 / diagonal
    u = _centers(span_u, columns, like.device)
    v = _centers(span_v, rows, like.device)
    return torch.stack(torch.meshgrid(u, v, indexing='xy')).to(like.dtype)


def neck_inputs(features: Tensor, aspect: float) -> list[Tensor]:
    """Return what enters the neck: the image plane at all levels, with features at the first.

    Parameters
    ----------
    features
        (N, C, h, w) of the encoder.
    aspect
        Width / height of the image.
    """
    rows, columns = features.shape[-2:]
    planes = [
        view_plane_uv(rows << level, columns << level, aspect, features).expand(
            len(features), -1, -1, -1
        )
        for level in range(LEVELS)
    ]
    return [torch.cat((features, planes[0]), dim=1), *planes[1:]]


def at_image_size(raw: Tensor, height: int, width: int) -> Tensor:
    """Resize the raw output (N, C, h, w) of a head to the image's size, in float32."""
    return interpolate(raw.float(), (height, width), mode='bilinear')


def _centers(span: float, count: int, device: torch.device) -> Tensor:
    last = span * (count - 1) / count
    return torch.linspace(-last, last, count, device=device)


def _per_level(value: Any, count: int) -> tuple[Any, ...]:
    """Return one entry a level; a single value stands for all of them."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return tuple(value)
    return (value,) * count


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
    return nn.LeakyReLU(_LEAKY_SLOPE) if kind == 'leaky_relu' else _ACTIVATIONS[kind]()


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
