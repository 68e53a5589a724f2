# SPDX-License-Identifier: Apache-2.0
"""Convolutional decoder that fuses feature maps from coarse to fine. Imports torch.

A decoder holds its levels from fine (0) to coarse. Source: ml-depth-pro, decoder.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

Injection = Callable[[Tensor], Tensor]
"""Refined features of a level to the same features with something added."""


class ResidualUnit(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3x3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) to the same shape."""
        return x + self.residual(x)


class FusionBlock(nn.Module):
    """Add a skip connection, refine, let something be injected, double the resolution.

    Parameters
    ----------
    width
        Channels in and out.
    skip
        Has a residual unit for the skip connection.
    double
        Doubles the resolution.
    """

    def __init__(self, width: int, *, skip: bool, double: bool) -> None:
        super().__init__()
        self.resnet1 = ResidualUnit(width) if skip else nn.Identity()
        self.resnet2 = ResidualUnit(width)
        self.deconv = (
            nn.ConvTranspose2d(width, width, 2, stride=2, bias=False) if double else nn.Identity()
        )
        self.out_conv = nn.Conv2d(width, width, 1)

    def forward(
        self, x: Tensor, skip: Tensor | None = None, injection: Injection | None = None
    ) -> Tensor:
        """Fuse.

        Parameters
        ----------
        x
            (B, width, h, w) from the coarser level.
        skip
            Encoder features of the same shape.
        injection
            Applied to the refined features, before the resolution is doubled.

        Returns
        -------
        Tensor
            (B, width, h, w), or (B, width, 2 h, 2 w) if this block doubles.
        """
        if skip is not None:
            x = x + self.resnet1(skip)
        x = self.resnet2(x)
        if injection is not None:
            x = injection(x)
        return self.out_conv(self.deconv(x))


class FusionDecoder(nn.Module):
    """Project every level to one width and fuse them from the coarsest to the finest.

    Parameters
    ----------
    convs
        Projection of every level, fine to coarse.
    fusions
        Fusion block of every level, fine to coarse.
    """

    def __init__(self, convs: Sequence[nn.Module], fusions: Sequence[FusionBlock]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.fusions = nn.ModuleList(fusions)

    def forward(
        self, levels: Sequence[Tensor], injections: Sequence[Injection] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Decode.

        Parameters
        ----------
        levels
            Encoder feature maps, fine to coarse.
        injections
            One per level, applied to its refined features.

        Returns
        -------
        tuple
            Finest features, and the projected coarsest level.
        """
        coarsest = len(levels) - 1
        given: Sequence[Injection | None] = injections or [None] * len(levels)
        lowres = self.convs[coarsest](levels[coarsest])
        features = self.fusions[coarsest](lowres, injection=given[coarsest])
        for index in range(coarsest - 1, -1, -1):
            skip = self.convs[index](levels[index])
            features = self.fusions[index](features, skip, given[index])
        return features, lowres


def projection(channels: int, width: int) -> nn.Conv2d:
    """3x3 projection of an encoder level to the decoder's width."""
    return nn.Conv2d(channels, width, 3, padding=1, bias=False)


def depth_head(width: int, hidden: int, extra_layers: int) -> nn.Sequential:
    """Features to one non-negative channel at twice the resolution.

    Parameters
    ----------
    width
        Channels of the features.
    hidden
        Channels of the last layers.
    extra_layers
        3x3 layers between the projection to `hidden` channels and the last one.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(width, width // 2, 3, padding=1),
        nn.ConvTranspose2d(width // 2, width // 2, 2, stride=2),
        nn.Conv2d(width // 2, hidden, 3, padding=1),
        nn.ReLU(inplace=True),
    ]
    for _ in range(extra_layers):
        layers += [nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(hidden, 1, 1), nn.ReLU(inplace=True))
