# SPDX-License-Identifier: Apache-2.0
"""Depth as a hundred words: a convolutional autoencoder whose code is rows of a table.

Imports torch and siblings. The codebook learns by its own gradient (van den Oord et al. 2017,
equation 3), not by a running mean as MolmoAct's does: it is then a weight like any other, for
every way that the trainer splits and stores weights.

Source: MolmoAct (2025) for the shape; MetricAnything (2026) for what it is given.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metric_depth_ros.networks.compact_blocks import OwnNames


@dataclass(frozen=True)
class DepthVqVaeConfig:
    """Shape of the network.

    Attributes
    ----------
    side
        Pixels of the square images.
    width
        Channels after the first halving; each of the others doubles them.
    halvings
        How often the sides are halved.
    residual_blocks
        Blocks at the coarse end, on both sides.
    codes, code_width
        Rows of the codebook, and their length.
    """

    side: int = 320
    width: int = 16
    halvings: int = 5
    residual_blocks: int = 2
    codes: int = 128
    code_width: int = 512

    def __post_init__(self) -> None:
        limits = {
            'side': (1, 4096),
            'width': (1, 256),
            'halvings': (1, 8),
            'residual_blocks': (0, 64),
            'codes': (1, 1 << 16),
            'code_width': (1, 4096),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f'{name} is {value!r}, expected an integer, {least} to {most}')
        if self.side % (1 << self.halvings):
            raise ValueError(f'side is {self.side}, expected a multiple of {1 << self.halvings}')

    @property
    def grid(self) -> int:
        """Rows, and columns, of tokens."""
        return self.side >> self.halvings

    def as_model_config(self) -> dict[str, Any]:
        """Return the plain values that are stored with the weights."""
        return asdict(self)


class Reconstruction(NamedTuple):
    """What comes out of the network.

    Attributes
    ----------
    image
        (B, 1, side, side), close to the input.
    tokens
        (B, grid * grid) rows of the codebook, row-major.
    codebook_error, commitment
        Mean square distance between codes and what they stand for; the first moves the codebook
        only, the second the encoder only.
    """

    image: Tensor
    tokens: Tensor
    codebook_error: Tensor
    commitment: Tensor


class DepthVqVae(OwnNames, nn.Module):
    """Turns normalized inverse depth into tokens and back."""

    def __init__(self, config: DepthVqVaeConfig) -> None:
        super().__init__()
        self.config = config
        widths = [1, *(config.width << i for i in range(config.halvings))]
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for a, b in pairwise(widths):
            down += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.ReLU()]
            up = [nn.ReLU(), nn.ConvTranspose2d(b, a, 4, stride=2, padding=1), *up]
        deep = widths[-1]
        self.encoder = nn.Sequential(
            *down,
            *(_Residual(deep) for _ in range(config.residual_blocks)),
            nn.Conv2d(deep, config.code_width, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(config.code_width, deep, 1),
            *(_Residual(deep) for _ in range(config.residual_blocks)),
            *up,
        )
        self.codebook = nn.Parameter(torch.randn(config.codes, config.code_width) * 0.1)

    def forward(self, image: Tensor) -> Reconstruction:
        """Encode and decode (B, 1, side, side) in [0, 1]."""
        latent = self.encoder(image).permute(0, 2, 3, 1)
        tokens = self._nearest(latent)
        code = functional.embedding(tokens, self.codebook)
        # The gradient of what is decoded passes the table as if it were not there.
        passed = latent + (code - latent).detach()
        return Reconstruction(
            image=self.decoder(passed.permute(0, 3, 1, 2)),
            tokens=tokens.flatten(1),
            codebook_error=(code - latent.detach()).square().mean(),
            commitment=(code.detach() - latent).square().mean(),
        )

    def tokenize(self, image: Tensor) -> Tensor:
        """Return the (B, grid * grid) tokens of (B, 1, side, side) in [0, 1]."""
        return self._nearest(self.encoder(image).permute(0, 2, 3, 1)).flatten(1)

    def decode(self, tokens: Tensor) -> Tensor:
        """Return the (B, 1, side, side) images that (B, grid * grid) tokens stand for."""
        code = functional.embedding(tokens, self.codebook)
        grid = self.config.grid
        return self.decoder(code.transpose(1, 2).unflatten(2, (grid, grid)))

    def _nearest(self, latent: Tensor) -> Tensor:
        flat = latent.reshape(-1, latent.shape[-1]).detach()
        away = self.codebook.detach().square().sum(1) - 2.0 * flat @ self.codebook.detach().T
        return away.argmin(1).view(latent.shape[:-1])


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
