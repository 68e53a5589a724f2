# SPDX-License-Identifier: Apache-2.0
"""What the small networks of the package are made of. Imports torch only.

Nothing here has batch statistics: one image alone is answered as it is in any batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

NEIGHBORS = 9  # of a fine pixel among the coarse ones

_BAND_VALUES = 2**18  # of one image: 1 MiB of float32


class OwnNames:
    """The keys of a checkpoint are the names of the module: nobody else has named them."""

    def from_official(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the state as it is."""
        return dict(state)

    def to_official(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the state as it is."""
        return dict(state)


class ResidualBlock(nn.Module):
    """Two convolutions whose sum with the input is the identity at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        start_at_zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, width, h, w) of the same."""
        # In place, where nothing else needs what was there: half of the memory to go through.
        hidden = self.first(functional.relu(x)).relu_()
        return self.second(hidden).add_(x)


class WideBlock(nn.Module):
    """Every place looks 7 x 7 places around itself; the identity at first.

    Source: Liu et al., "A ConvNet for the 2020s" (CVPR 2022), with weights that start at zero in
    place of the scale of the residual.

    Parameters
    ----------
    width
        Channels in and out.
    expansion
        Hidden channels, in multiples of `width`.
    """

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, expansion * width)
        self.contract = nn.Linear(expansion * width, width)
        start_at_zero(self.contract)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, width, h, w) of the same."""
        seen = self.norm(self.look(x).permute(0, 2, 3, 1))
        change = self.contract(functional.gelu(self.expand(seen)))
        return x + change.permute(0, 3, 1, 2)


class SceneContext(nn.Module):
    """Tells every place what the whole image is like."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, width, h, w) of the same."""
        return x + self.layers(x.mean((2, 3), keepdim=True))


class ChannelNorm(nn.LayerNorm):
    """Normalizes the channels of every place."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) of the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def start_at_zero(layer: nn.Module) -> None:
    """Initialize a layer so that it outputs zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def upsampled(maps: Tensor, weights: Tensor, factor: int) -> Tensor:
    """Enlarge maps by weighted means of the 3 x 3 coarse neighbors of every fine pixel.

    Parameters
    ----------
    maps
        (B, C, h, w).
    weights
        (B, NEIGHBORS * factor^2, h, w) logits in any precision; zero everywhere is the plain mean
        of the nine.
    factor
        How many times finer the result is.

    Returns
    -------
    Tensor
        (B, C, factor * h, factor * w). Source: RAFT (Teed and Deng 2020), section 3.3.
    """
    b, c, _, w = maps.shape
    padded = functional.pad(maps.contiguous(), (1, 1, 1, 1), mode='replicate')[:, :, None]
    bands = []
    for rows in _bands_of(weights):
        n = rows.stop - rows.start
        logits = weights[:, :, rows].contiguous().float()
        share = logits.reshape(b, NEIGHBORS, 1, factor**2, n, w).softmax(dim=1)
        near = padded[:, :, :, rows.start : rows.stop + 2]
        # One neighbor at a time: all nine at once would be limited by memory.
        fine = share[:, 0] * near[..., :n, :w]
        for neighbor in range(1, NEIGHBORS):
            y, x = divmod(neighbor, 3)
            fine = torch.addcmul(fine, share[:, neighbor], near[..., y : y + n, x : x + w])
        subpixels = fine.reshape(b, c, factor, factor, n, w).permute(0, 1, 4, 2, 5, 3)
        bands.append(subpixels.reshape(b, c, n * factor, w * factor))
    return torch.cat(bands, dim=2)


def planar(maps: Tensor) -> Tensor:
    """Return (B, C, h, w) channel by channel in memory; from channels last, faster than torch."""
    _, channels, h, w = maps.shape
    matrices = maps.permute(0, 2, 3, 1).reshape(-1, h * w, channels)
    planes = [matrix.t().contiguous() for matrix in matrices]
    together = torch.stack(planes) if len(planes) > 1 else planes[0][None]
    return together.unflatten(2, (h, w))


def _bands_of(maps: Tensor) -> list[slice]:
    """Return portions of the rows of (B, C, h, w), so few that a processor's cache holds them.

    What goes over many maps time and again is limited by memory otherwise. A GPU, and whatever
    is to be compiled or exported, gets all rows at once.
    """
    _, channels, height, width = maps.shape
    rows = height
    if maps.device.type == 'cpu' and not torch.compiler.is_compiling():
        rows = max(1, _BAND_VALUES // (channels * width))
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
