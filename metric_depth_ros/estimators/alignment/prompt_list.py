# SPDX-License-Identifier: Apache-2.0
"""The prompts of a batch of images as padded lists, and depth to inverse depth. Torch only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_MARGIN = 2.0  # results may leave the prompts' range by this factor


def inverse_depth(depth: Tensor) -> Tensor:
    """Return 1/depth; 0 where the depth is infinite, zero, negative or NaN."""
    return torch.where(depth > 0, depth.reciprocal(), torch.zeros_like(depth))


@dataclass(frozen=True, eq=False)
class PromptList:
    """Prompt pixels of B images, padded to the largest count.

    Parameters
    ----------
    height, width
        Size of every image.
    pixel
        (B, N) int64 row-major pixel numbers, ascending; padded with `height` * `width`, which no
        pixel has, so that a row stays sorted.
    inverse
        (B, N) inverse depth in 1/m, 0 in the padding.
    valid
        (B, N) bool, False in the padding.
    """

    height: int
    width: int
    pixel: Tensor
    inverse: Tensor
    valid: Tensor

    @classmethod
    def from_map(cls, depth: Tensor, mask: Tensor | None = None) -> PromptList:
        """List the prompts of rasterized depth.

        Parameters
        ----------
        depth
            (B, H, W) meters; what is not positive and finite is no prompt.
        mask
            (B, H, W) bool: take exactly these pixels instead. A depth of zero, infinity or NaN
            then counts as inverse depth 0, as in the reference code.
        """
        batch, height, width = depth.shape
        if mask is None:
            mask = has_depth(depth)
        flat = mask.flatten(1)
        counts = flat.sum(1)
        image, pixel = flat.nonzero(as_tuple=True)
        first = counts.cumsum(0) - counts
        slot = torch.arange(len(pixel), device=depth.device) - first[image]
        most = int(counts.max()) if batch else 0
        padded = torch.full((batch, most), height * width, device=depth.device)
        padded[image, slot] = pixel
        inverse = depth.new_zeros(batch, most)
        inverse[image, slot] = inverse_depth(depth.flatten(1)[image, pixel])
        return cls(height, width, padded, inverse, padded < height * width)

    @property
    def counts(self) -> Tensor:
        """(B,) int64 prompts of each image."""
        return self.valid.sum(1)

    def sample(self, image_map: Tensor) -> Tensor:
        """Return (B, N) values of a (B, H, W) map at the prompts; 0 in the padding."""
        inside = self.pixel.clamp(max=self.height * self.width - 1)
        values = image_map.flatten(1).gather(1, inside)
        return torch.where(self.valid, values, torch.zeros_like(values))

    def limit(self, inverse: Tensor) -> Tensor:
        """Clamp (B, ...) inverse depth to half the least and twice the largest of the prompts."""
        if self.inverse.shape[1] == 0:
            return inverse
        low = torch.where(self.valid, self.inverse, torch.inf).amin(1) / _MARGIN
        high = torch.where(self.valid, self.inverse, -torch.inf).amax(1) * _MARGIN
        # Infinite the wrong way round where an image has no prompts: no limit.
        low, high = torch.minimum(low, high), torch.maximum(low, high)
        each = (-1, *[1] * (inverse.ndim - 1))
        low, high = low.to(inverse.dtype).view(each), high.to(inverse.dtype).view(each)
        return torch.minimum(torch.maximum(inverse, low), high)


def has_depth(depth: Tensor) -> Tensor:
    """Return where a depth map holds a positive, finite value."""
    return (depth > 0) & (depth < torch.inf)
