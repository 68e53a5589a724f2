# SPDX-License-Identifier: Apache-2.0
"""The small monocular network that ships with the package: canonical inverse depth of one image.

A trunk of one resolution, tapped four times, and a decoder with inverted skips as in
Student-DepthMap: the earliest tap enters at the coarse end, the deepest next to the output. The
network also says how wide its error is, where it sees sky, and the focal length, for images
without a camera. It has no batch statistics. Imports torch and siblings.

Source: "MetricAnything" (2026), section 3.3, at a size for a CPU.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metric_depth_ros.networks.compact_blocks import (
    NEIGHBORS,
    ChannelNorm,
    OwnNames,
    SceneContext,
    WideBlock,
    start_at_zero,
    upsampled,
)
from metric_depth_ros.networks.fusion import FusionBlock, FusionDecoder
from metric_depth_ros.networks.images import batched, unit_range

SKIPS = ('inverted', 'unet')
MULTIPLE_PX = 32  # sides of the images are multiples of this
_TRUNK = 8  # pixels of a place in the trunk
_STRIDES = (4, 8, 16, 32)  # pixels of a place in the levels of the decoder, fine to coarse
_MAPS = 3
_LOG_WIDTH_LIMITS = (-7.0, 2.0)
# What an untrained network answers: some meters, a third of error, no sky, a usual lens.
_START = (-2.0, -1.0, -2.0)
_START_FOCAL = math.log(0.8)
_LEAST_CONTRAST = 0.03
_LIMITS = {
    'width': (4, 4096),
    'blocks': (4, 256),
    'expansion': (1, 64),
    'decoder_width': (1, 4096),
    'canvas_px': (MULTIPLE_PX**2, 1 << 24),
}


@dataclass(frozen=True)
class CompactStudentConfig:
    """Shape of the network.

    Attributes
    ----------
    width, blocks, expansion
        Channels and blocks of the trunk, and hidden channels of a block in multiples of `width`.
    taps
        Blocks whose output the decoder gets, early to late.
    decoder_width
        Channels of the decoder.
    skips
        ``'inverted'``, or ``'unet'``: the deepest tap at the coarse end. Same parts either way.
    canvas_px
        Pixels of the images that it looks at: larger ones are scaled down to about so many.
    """

    width: int = 128
    blocks: int = 12
    expansion: int = 3
    taps: tuple[int, int, int, int] = (2, 5, 8, 11)
    decoder_width: int = 48
    skips: str = 'inverted'
    canvas_px: int = 448 * 336

    def __post_init__(self) -> None:
        for name, (least, most) in _LIMITS.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f'{name} is {getattr(self, name)}, expected {least} to {most}')
        if self.skips not in SKIPS:
            raise ValueError(f'skips is {self.skips!r}, expected one of {", ".join(SKIPS)}')
        ordered = all(a < b for a, b in pairwise((-1, *self.taps, self.blocks)))
        if len(self.taps) != len(_STRIDES) or not ordered:
            raise ValueError(
                f'taps are {self.taps}, expected {len(_STRIDES)} of 0 to {self.blocks - 1}, rising'
            )

    def as_model_config(self) -> dict[str, Any]:
        """Return the plain values that are stored with the weights."""
        return asdict(self)


class CompactStudentAnswer(NamedTuple):
    """What the network says of each image.

    Attributes
    ----------
    log_inverse
        (B, 1, H, W) natural logarithm of canonical inverse depth:
        depth = focal length / image width / exp(log_inverse), in meters.
    log_width
        (B, 1, H, W) logarithm of the mean absolute error to be expected of `log_inverse`.
    sky
        (B, 1, H, W) logit of the pixel seeing nothing at all.
    log_focal
        (B,) natural logarithm of focal length / image width.
    """

    log_inverse: Tensor
    log_width: Tensor
    sky: Tensor
    log_focal: Tensor


class CompactStudent(OwnNames, nn.Module):
    """Sees depth in one image.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: CompactStudentConfig) -> None:
        super().__init__()
        self.config = config
        width, narrow = config.width, config.decoder_width
        colors_and_place = 5
        self.stem = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1)
            for a, b in pairwise((colors_and_place, width // 4, width // 2, width))
        )
        self.trunk = nn.ModuleList(
            WideBlock(width, config.expansion) for _ in range(config.blocks)
        )
        self.context = nn.ModuleList(SceneContext(width) for _ in config.taps)
        self.norms = nn.ModuleList(ChannelNorm(width) for _ in config.taps)
        self.decoder = FusionDecoder(
            [_resampling(width, narrow, stride) for stride in _STRIDES],
            [
                FusionBlock(narrow, skip=stride != _STRIDES[-1], double=stride != _STRIDES[0])
                for stride in _STRIDES
            ],
        )
        self.guide = nn.Conv2d(width // 2, narrow, 1)
        self.head = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(narrow, narrow, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(narrow, _MAPS + NEIGHBORS * _STRIDES[0] ** 2, 1),
        )
        self.focal = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        start_at_zero(self.head[-1])
        start_at_zero(self.focal[-1])

    def forward(self, images: Tensor) -> CompactStudentAnswer:
        """Look at images.

        Parameters
        ----------
        images
            (B, 3, H, W) RGB, uint8 or float in [0, 1]; H and W multiples of `MULTIPLE_PX`.
        """
        early, taps = self._taps(images)
        deepest = taps[-1]
        coarse_first = taps if self.config.skips == 'inverted' else taps[::-1]
        features, _ = self.decoder(coarse_first[::-1])
        head = self.head(features + self.guide(early)).float()
        maps = head[:, :_MAPS] + head.new_tensor(_START).view(1, _MAPS, 1, 1)
        log_inverse, log_width, sky = upsampled(maps, head[:, _MAPS:], _STRIDES[0]).split(1, dim=1)
        log_focal = self.focal(deepest.mean((2, 3))).float()[:, 0] + _START_FOCAL
        return CompactStudentAnswer(
            log_inverse, log_width.clamp(*_LOG_WIDTH_LIMITS), sky, log_focal
        )

    def _taps(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the stem's features of places of four pixels, and the taps, early to late."""
        x = with_places(evened(batched(images))).to(self.guide.weight.dtype)
        x = functional.gelu(self.stem[0](x))
        early = functional.gelu(self.stem[1](x))
        x = self.stem[2](early)
        taps: list[Tensor] = []
        for number, block in enumerate(self.trunk):
            x = block(x)
            if number in self.config.taps:
                x = self.context[len(taps)](x)
                taps.append(self.norms[len(taps)](x))
        return early, taps


def evened(images: Tensor) -> Tensor:
    """Return images with exposure and contrast evened out, each by itself, as float32."""
    level = unit_range(images)
    level = level - level.mean((1, 2, 3), keepdim=True)
    variance = level.square().mean((1, 2, 3), keepdim=True)
    return level / (variance + _LEAST_CONTRAST**2).sqrt()


def with_places(images: Tensor) -> Tensor:
    """Return images with x and y of every pixel, from the center, in widths of the image."""
    b, _, h, w = images.shape
    x = (torch.arange(w, device=images.device, dtype=images.dtype) + 0.5) / w - 0.5
    y = (torch.arange(h, device=images.device, dtype=images.dtype) + 0.5) / w - 0.5 * h / w
    places = torch.stack((x.expand(h, w), y[:, None].expand(h, w)))
    return torch.cat((images, places.expand(b, 2, h, w)), dim=1)


def _resampling(width: int, narrow: int, stride: int) -> nn.Module:
    """Return a projection of the trunk's places to those of a level of the decoder."""
    if stride < _TRUNK:
        return nn.ConvTranspose2d(width, narrow, _TRUNK // stride, stride=_TRUNK // stride)
    return nn.Conv2d(width, narrow, stride // _TRUNK, stride=stride // _TRUNK)
