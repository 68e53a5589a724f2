# SPDX-License-Identifier: Apache-2.0
"""Small parts of point maps, each around an anchor: what of a window lies near it in space. Torch.

A window in the image may show a thing and the wall behind it; a ball around the anchor has one of
them. Sizes go with 1 / level: half the diagonal of the image at level 1, in the image and, at the
anchor's depth, in space.

Source: Wang et al., "MoGe" (CVPR 2025), section 3.2; which anchors are preferred, and the least
number of points, are those of its reference code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_LEAST_POINTS = 32
_TESTED = 8  # pixels a side of the window that tell how much of it is near


class Anchors(NamedTuple):
    """Pixels: `image` (N,) is which of the batch they are in, `pixel` (N,) which of its rows."""

    image: Tensor
    pixel: Tensor


class Patches(NamedTuple):
    """Windows of P x P pixels.

    Parameters
    ----------
    image
        (N,) which of the batch they are in.
    pixel
        (N, P, P) their pixels in the flattened map.
    mask
        (N, P, P) bool: valid, inside of the image, and near the anchor.
    radius
        (N,) of the ball, in the unit of the points.
    """

    image: Tensor
    pixel: Tensor
    mask: Tensor
    radius: Tensor

    def of(self, values: Tensor) -> Tensor:
        """Return the windows (N, P, P, C) of maps (B, H, W, C)."""
        return values.flatten(1, 2)[self.image[:, None, None], self.pixel]


def ball_radius(depth: Tensor, extent: Tensor, level: int) -> Tensor:
    """Return the radius in space of patches around points.

    Parameters
    ----------
    depth
        Of the points.
    extent
        Diagonal of the image at depth 1, in the shape of `depth` or one that goes with it.
    level
        Of the patches.
    """
    return 0.5 / level * extent * depth


def anchor_weights(truth: Tensor, mask: Tensor, extent: Tensor, level: int) -> Tensor:
    """Return how often a pixel is to be an anchor, (B, H, W), up to a factor a map.

    The fewer pixels of its window are near it in space, the oftener: thin things have few pixels,
    and would have few patches. An even grid of the window is looked at.

    Parameters
    ----------
    truth, mask
        (B, H, W, 3) points and (B, H, W) which of them count.
    extent
        (B,) as in `ball_radius`.
    level
        Of the patches.
    """
    height, width = mask.shape[1:]
    reach = _window_radius(height, width, level)
    near = ball_radius(truth[..., 2], extent[:, None, None], level).square()
    # Unknown neighbors are near nothing.
    known = truth.where(mask[..., None], torch.nan).movedim(-1, 1)
    padded = torch.nn.functional.pad(known, (reach,) * 4, value=torch.nan)
    seen = torch.zeros_like(near)
    steps = torch.linspace(0, 2 * reach, _TESTED).round().int().tolist()
    for down in steps:
        for right in steps:
            beside = padded[..., down : down + height, right : right + width]
            seen += (beside - known).square().sum(1) <= near
    return seen.clamp(min=1.0).reciprocal().where(mask, 0.0)


def draw_anchors(weights: Tensor, count: int, seeds: Sequence[int]) -> Anchors:
    """Draw anchors, an image at a time: who else is in the batch changes nothing.

    Parameters
    ----------
    weights
        (B, H, W) of `anchor_weights`, positive somewhere in every image.
    count
        Of each image.
    seeds
        One for each image.
    """
    drawn = [
        one.flatten().multinomial(
            count, replacement=True, generator=torch.Generator(one.device).manual_seed(seed)
        )
        for one, seed in zip(weights, seeds, strict=True)
    ]
    image = torch.arange(len(weights), device=weights.device).repeat_interleave(count)
    return Anchors(image, torch.cat(drawn))


def patches_around(
    anchors: Anchors, truth: Tensor, mask: Tensor, extent: Tensor, level: int
) -> Patches:
    """Return the patches around anchors; those of too few points are left out.

    Parameters
    ----------
    anchors
        Valid pixels.
    truth, mask, extent, level
        As in `anchor_weights`; `truth` finite everywhere.
    """
    height, width = mask.shape[1:]
    reach = _window_radius(height, width, level)
    steps = torch.arange(-reach, reach + 1, device=mask.device)
    row = (anchors.pixel // width)[:, None, None] + steps[:, None]
    column = (anchors.pixel % width)[:, None, None] + steps
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    pixel = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    center = truth.flatten(1, 2)[anchors.image, anchors.pixel]
    radius = ball_radius(center[:, 2], extent[anchors.image], level)
    whole = Patches(anchors.image, pixel, inside, radius)
    away = (whole.of(truth) - center[:, None, None]).norm(dim=-1)
    valid = inside & whole.of(mask[..., None])[..., 0] & (away <= radius[:, None, None])
    enough = valid.flatten(1).sum(1) >= _LEAST_POINTS
    return Patches(anchors.image[enough], pixel[enough], valid[enough], radius[enough])


def _window_radius(height: int, width: int, level: int) -> int:
    return math.ceil(0.5 / level * math.hypot(height, width))
