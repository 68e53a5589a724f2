# SPDX-License-Identifier: Apache-2.0
"""From images to a network's square canvas, and from its canonical inverse depth to meters.

Canonical inverse depth is the inverse depth that a camera whose focal length equals the image
width would see; multiplied with width / focal length it is metric. Imports torch and `errors`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from metric_depth_ros.errors import InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


def normalized_canvas(
    images: Tensor,
    side: int,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Normalize images and stretch them to a square, as the authors do.

    Parameters
    ----------
    images
        (B, 3, H, W) RGB, uint8, or float in [0, 1].
    side
        Side of the square.
    mean, std
        Per channel, of values in [0, 1].
    dtype
        Of the result; the arithmetic is float32.

    Returns
    -------
    Tensor
        (B, 3, side, side). Bilinear, no antialiasing: the released weights expect that.
    """
    values = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    shape = (1, 3, 1, 1)
    values = (values - values.new_tensor(mean).view(shape)) / values.new_tensor(std).view(shape)
    return resized(values, (side, side)).to(dtype)


def resized(values: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, H, W) to `size` (height, width), bilinear; the same tensor if that is its size."""
    if tuple(values.shape[-2:]) == tuple(size):
        return values
    return functional.interpolate(values, size=tuple(size), mode='bilinear', align_corners=False)


def batched(images: Tensor) -> Tensor:
    """(3, H, W) or (B, 3, H, W) as (B, 3, H, W).

    Raises
    ------
    InputError
        `network_image_shape` for any other shape.
    """
    if images.ndim not in (3, 4) or images.shape[-3] != 3:
        raise InputError(
            'network_image_shape',
            f'the network was given images of shape {tuple(images.shape)}; expected (3, H, W) or '
            '(B, 3, H, W)',
        )
    return images if images.ndim == 4 else images[None]


def per_image(
    values: float | Sequence[float] | Tensor, batch: int, device: torch.device
) -> Tensor:
    """One number for all images, or one each, as (B, 1, 1, 1) float32.

    Raises
    ------
    InputError
        `network_numbers_per_image` if there are neither one nor `batch` numbers.
    """
    flat = torch.as_tensor(values, dtype=torch.float32, device=device).flatten()
    if len(flat) not in (1, batch):
        raise InputError(
            'network_numbers_per_image',
            f'the network was given {len(flat)} numbers (focal lengths or units) for {batch} '
            'images; expected one, or one per image',
        )
    return flat.expand(batch).view(batch, 1, 1, 1)


def depth_from_canonical(
    canonical: Tensor,
    focal_px: Tensor,
    size: Sequence[int],
    *,
    limits: tuple[float, float],
    resize: bool = True,
) -> Tensor:
    """Canonical inverse depth to depth at the image's resolution.

    Parameters
    ----------
    canonical
        (B, 1, h, w).
    focal_px
        (B, 1, 1, 1) horizontal focal lengths in pixels of the original images.
    size
        (height, width) of the original images.
    limits
        Range that inverse depth is clamped to, 1/m.
    resize
        False keeps the network's resolution.

    Returns
    -------
    Tensor
        (B, H, W) float32, m.
    """
    inverse = canonical.float() * (size[1] / focal_px)
    if resize:
        inverse = resized(inverse, size)
    return 1 / inverse.clamp(*limits)[:, 0]
