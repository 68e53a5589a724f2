# SPDX-License-Identifier: Apache-2.0
"""LingBot-Depth's encoder: measured depth as tokens beside those of the image.

Patches of depth without a measurement stay out of the transformer. Imports torch and siblings.

Source: "LingBot-Depth: Masked Depth Modeling" (2026) and its reference code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from metric_depth_ros.networks.backbones.dinov2 import DinoV2Config
from metric_depth_ros.networks.moge import MoGeEncoder

_NEAREST_M = 0.01  # measurements up to it are none
# A patch counts when one of its processed pixels, 0 meaning none, lies up to this.
_LARGEST_PROCESSED = 200.0
_SMALLEST_PROCESSED = -9.5


class Sequences(NamedTuple):
    """Token sequences of a batch.

    Parameters
    ----------
    tokens
        (B, L, C): class, image patches row-major, depth patches row-major, padding.
    key_mask
        (B, L) bool of the tokens that take part; None when all do.
    """

    tokens: Tensor
    key_mask: Tensor | None


class PatchEmbedding(nn.Module):
    """Tokens of a depth map, one a patch."""

    def __init__(self, embed_dim: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, depth: Tensor) -> Tensor:
        """Return (B, N, C) from (B, 1, H, W)."""
        return self.proj(depth.to(self.proj.weight.dtype)).flatten(2).transpose(1, 2)


class ImageDepthEncoder(MoGeEncoder):
    """An encoder whose transformer attends to image and depth patches together."""

    def __init__(self, backbone: DinoV2Config, taps: Sequence[int], log_depth: bool) -> None:
        super().__init__(backbone, taps, backbone.embed_dim)
        self.log_depth = log_depth
        self.depth_patch_embed = PatchEmbedding(backbone.embed_dim, backbone.patch_size)

    def prepare_depth(self, depth: Tensor, rows: int, columns: int) -> Tensor:
        """Resize measured depth (B, H, W) in meters to the grid; (B, 1, h, w), 0 where none.

        In log mode a depth of exactly 1 m becomes 0 as well, and so counts as none: this is how
        the released weights were trained.
        """
        patch = self.backbone.patch_size
        resized = interpolate(depth[:, None].float(), (rows * patch, columns * patch))
        metric = resized.nan_to_num(0.0, posinf=0.0, neginf=0.0)
        valid = metric > _NEAREST_M
        return metric.where(valid, 1.0).log() if self.log_depth else metric * valid

    def kept_patches(self, prepared: Tensor) -> Tensor:
        """Return (B, N) bool: patches with at least one measured pixel in range."""
        measured = (
            (prepared != 0) & (prepared >= _SMALLEST_PROCESSED) & (prepared <= _LARGEST_PROCESSED)
        )
        return max_pool2d(measured.float(), self.backbone.patch_size).flatten(1) > 0

    def sequences(
        self, image: Tensor, depth: Tensor, keep: Tensor | None, *, fixed_length: bool = False
    ) -> Sequences:
        """Build the sequences that enter the first block.

        The authors add 1 to every channel of the image tokens and 2 to those of the depth tokens.
        All that reads tokens normalizes them and takes such a constant away again; here it is left
        out, for in half precision it would take the tokens' last digits along.

        Parameters
        ----------
        image, depth
            Prepared (B, 3, h, w) and (B, 1, h, w).
        keep
            (B, N) bool of the depth patches that take part, or None for all.
        fixed_length
            Mask the others out where they are, so that shapes do not depend on values (export,
            CUDA graphs) and nothing waits for the device; else leave them out and pad to the
            longest sequence of the batch.
        """
        vit = self.backbone
        rows, columns = (side // vit.patch_size for side in image.shape[-2:])
        positions = vit.position_embedding(rows, columns)
        image_tokens = vit.embed_image(image)
        depth_tokens = self.depth_patch_embed(depth) + positions[:, 1:]
        if keep is None or fixed_length:
            everything = torch.cat((image_tokens, depth_tokens), dim=1)
            if keep is None:
                return Sequences(everything, None)
            always = torch.ones_like(image_tokens[:, :, 0], dtype=torch.bool)
            return Sequences(everything, torch.cat((always, keep), dim=1))
        counts = keep.sum(dim=1)
        longest = int(counts.max())
        kept_first = keep.byte().argsort(dim=1, descending=True, stable=True)[:, :longest, None]
        chosen = depth_tokens.gather(1, kept_first.expand(-1, -1, depth_tokens.shape[-1]))
        tokens = torch.cat((image_tokens, chosen), dim=1)
        if int(counts.min()) == longest:
            return Sequences(tokens, None)
        lengths = counts[:, None] + image_tokens.shape[1]
        return Sequences(tokens, torch.arange(tokens.shape[1], device=tokens.device) < lengths)

    def forward(  # type: ignore[override]  # the parent knows no depth
        self,
        image: Tensor,
        depth: Tensor,
        rows: int,
        columns: int,
        *,
        mask_depth: bool = True,
        fixed_length: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Return the map (B, C, rows, columns) and the class token (B, C)."""
        prepared = self.prepare_depth(depth, rows, columns)
        tokens, key_mask = self.sequences(
            self.prepare_image(image, rows, columns),
            prepared,
            self.kept_patches(prepared) if mask_depth else None,
            fixed_length=fixed_length,
        )
        *raw, _ = self.backbone.run_blocks(tokens, self.taps, key_mask)
        taps = [self.backbone.norm(tap[:, : 1 + rows * columns]) for tap in raw]
        return self.project((tap[:, 1:] for tap in taps), rows, columns), taps[-1][:, 0]
