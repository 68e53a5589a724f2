# SPDX-License-Identifier: Apache-2.0
"""Image pyramid of overlapping crops through one vision transformer (the Depth Pro scheme).

A square canvas is cut at full, half and quarter size into 25, 9 and 1 crops of a quarter of its
side. All 35 go through the transformer as one batch; their patch tokens are put together again
without the overlap. Crops stand in the batch crop by crop: crop 0 of every image, then crop 1.
Sizes follow the canvas, so that tiny and reduced networks run the same code. Imports torch,
`errors` and siblings.

Source: Bochkovskii et al., "Depth Pro" (ICLR 2025), and ml-depth-pro, encoder.py; MetricAnything's
student_depthmap, which adds the shared encoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.backbones import Backbone

HIGH_SIDE = 5
MIDDLE_SIDE = 3
HIGH_CROPS = HIGH_SIDE**2
MIDDLE_CROPS = MIDDLE_SIDE**2


def canvas_multiple(patch_size: int) -> int:
    """Divisor of every canvas side: overlaps of an eighth of a crop are whole patches."""
    return 4 * 8 * patch_size


def cut_crops(images: Tensor) -> Tensor:
    """Cut square images into the crops of all three levels.

    Parameters
    ----------
    images
        (B, 3, S, S).

    Returns
    -------
    Tensor
        (35 B, 3, S / 4, S / 4): the 5x5 crops of the full image, the 3x3 of the half one, and the
        quarter one; row-major, crop by crop.
    """
    size = images.shape[-1] // 4
    half = functional.interpolate(images, scale_factor=0.5, mode='bilinear', align_corners=False)
    quarter = functional.interpolate(
        images, scale_factor=0.25, mode='bilinear', align_corners=False
    )
    return torch.cat(
        [
            level[..., row : row + size, column : column + size]
            for level, stride in ((images, size * 3 // 4), (half, size // 2), (quarter, size))
            for row in range(0, level.shape[-2] - size + 1, stride)
            for column in range(0, level.shape[-1] - size + 1, stride)
        ]
    )


class CropMerge(nn.Module):
    """Put the patch tokens of overlapping square crops together to one map.

    Half of every overlap is dropped on each inner side.

    Parameters
    ----------
    side
        Crops per row and per column.
    overlap
        Share of a crop that its neighbor sees too.
    """

    def __init__(self, side: int, overlap: float) -> None:
        super().__init__()
        self.side = side
        self.overlap = overlap

    def forward(self, tokens: Tensor, batch: int) -> Tensor:
        """Merge crops.

        Parameters
        ----------
        tokens
            (side^2 B, T, C), patches last and row-major, crop by crop.
        batch
            B.

        Returns
        -------
        Tensor
            (B, C, h, w), channels last in memory.
        """
        grid = _square_side(tokens.shape[1])
        patches = tokens[:, -(grid**2) :].unflatten(1, (grid, grid))
        crops = patches.unflatten(0, (self.side, self.side, batch))
        kept = self._kept(grid)
        rows = [
            torch.cat(
                [crops[i, j, :, top:bottom, left:right] for j, (left, right) in enumerate(kept)],
                dim=2,
            )
            for i, (top, bottom) in enumerate(kept)
        ]
        return torch.cat(rows, dim=1).permute(0, 3, 1, 2)

    def _kept(self, grid: int) -> list[tuple[int, int]]:
        dropped = round(grid * self.overlap / 2)
        last = self.side - 1
        return [
            (0 if i == 0 else dropped, grid if i == last else grid - dropped)
            for i in range(self.side)
        ]


def _square_side(tokens: int) -> int:
    """Patches per side of a square crop; there are fewer prefix tokens than a row has patches."""
    return math.isqrt(tokens)


@dataclass(frozen=True)
class Upsampling:
    """A 1x1 projection to `hidden` channels, then `steps` doublings to `out` channels."""

    hidden: int
    out: int
    steps: int


class PyramidEncoder(nn.Module):
    """Seven or five feature maps of growing resolution from one or two vision transformers.

    Parameters
    ----------
    patch_encoder
        Transformer that sees all crops.
    taps
        Blocks whose outputs on the full-size crops become the latent maps.
    latents, high, middle, low
        Upsampling of every latent map and of the three levels' final features.
    image_encoder
        Transformer of the global view; None shares `patch_encoder`, whose features of the
        quarter-size image then serve for both.
    """

    def __init__(
        self,
        patch_encoder: Backbone,
        taps: Sequence[int],
        *,
        latents: Sequence[Upsampling],
        high: Upsampling,
        middle: Upsampling,
        low: Upsampling,
        image_encoder: Backbone | None = None,
    ) -> None:
        super().__init__()
        self.patch_encoder = patch_encoder
        self.image_encoder = image_encoder
        self.taps = tuple(taps)
        self.merge_high = CropMerge(HIGH_SIDE, overlap=0.25)
        self.merge_middle = CropMerge(MIDDLE_SIDE, overlap=0.5)
        self.merge_low = CropMerge(1, overlap=0.0)
        width = patch_encoder.embed_dim
        for index, latent in enumerate(latents):
            self.add_module(f'upsample_latent{index}', _upsampler(width, latent))
        self.upsample0 = _upsampler(width, high)
        self.upsample1 = _upsampler(width, middle)
        self.upsample2 = _upsampler(width, low)
        self.upsample_lowres = nn.ConvTranspose2d(width, low.out, 2, stride=2)
        self.fuse_lowres = nn.Conv2d(2 * low.out, low.out, 1)

    def forward(self, images: Tensor, max_crops_per_batch: int | None = None) -> list[Tensor]:
        """Encode normalized square images.

        Parameters
        ----------
        images
            (B, 3, S, S); S a multiple of 32 patches.
        max_crops_per_batch
            Crops that go through the transformer at once; fewer need less memory.

        Returns
        -------
        list
            Feature maps: latents in the order of `taps`, full size, half size, global.

        Raises
        ------
        InputError
            `network_input_size` if the images are not square or not divisible.
        """
        require_square(images, canvas_multiple(self.patch_encoder.patch_size))
        batch = len(images)
        crops = cut_crops(images)
        tokens, latents = encode_crops(
            self.patch_encoder, crops, self.taps, HIGH_CROPS * batch, max_crops_per_batch
        )
        high, middle, low = tokens.split([HIGH_CROPS * batch, MIDDLE_CROPS * batch, batch])
        encodings = [
            self.get_submodule(f'upsample_latent{index}')(self.merge_high(latent, batch))
            for index, latent in enumerate(latents)
        ]
        encodings.append(self.upsample0(self.merge_high(high, batch)))
        encodings.append(self.upsample1(self.merge_middle(middle, batch)))
        low_map = self.merge_low(low, batch)
        global_map = low_map
        if self.image_encoder is not None:
            quarter = crops[-batch:]
            global_map = self.merge_low(self.image_encoder(quarter)[0], batch)
        encodings.append(
            self.fuse_lowres(
                torch.cat([self.upsample2(low_map), self.upsample_lowres(global_map)], dim=1)
            )
        )
        return encodings


def require_square(images: Tensor, multiple: int) -> None:
    """Refuse images that cannot be cut into crops.

    Raises
    ------
    InputError
        `network_input_size` if they are not square or their side is not such a multiple.
    """
    height, width = images.shape[-2:]
    if height != width or height % multiple:
        raise InputError(
            'network_input_size',
            f'the network was given {width}x{height} pixels; expected a square whose side is a '
            f'multiple of {multiple}',
        )


def encode_crops(
    backbone: Backbone,
    crops: Tensor,
    taps: Sequence[int],
    tapped: int,
    max_crops_per_batch: int | None,
) -> tuple[Tensor, list[Tensor]]:
    """Run crops through a transformer, all at once or in portions.

    Parameters
    ----------
    backbone
        Vision transformer.
    crops
        (N, 3, h, w).
    taps
        Blocks to listen to.
    tapped
        Keep the tapped outputs of this many leading crops only.
    max_crops_per_batch
        Portion size; None for all.

    Returns
    -------
    tuple
        Final tokens (N, T, C) and one (tapped, T, C) per tap.
    """
    portions = crops.split(max_crops_per_batch or len(crops))
    finals, latents, start = [], [], 0
    for portion in portions:
        wanted = taps if start < tapped else ()
        tokens, raw = backbone(portion, wanted)
        finals.append(tokens)
        latents.append([tap[: tapped - start] for tap in raw])
        start += len(portion)
    if len(portions) == 1:
        return finals[0], latents[0]
    heard = [portion for portion in latents if portion]
    return torch.cat(finals), [torch.cat(tap) for tap in zip(*heard, strict=True)]


def _upsampler(width: int, upsampling: Upsampling) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(width, upsampling.hidden, 1, bias=False)]
    channels = upsampling.hidden
    for _ in range(upsampling.steps):
        layers.append(nn.ConvTranspose2d(channels, upsampling.out, 2, stride=2, bias=False))
        channels = upsampling.out
    return nn.Sequential(*layers)
