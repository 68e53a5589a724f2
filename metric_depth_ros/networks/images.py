# SPDX-License-Identifier: Apache-2.0
"""Images as the networks take them. Imports torch and `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metric_depth_ros.errors import InputError


class Normalization(NamedTuple):
    """Mean and standard deviation of each channel, for values in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


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


def unit_range(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1], from uint8 or from float in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def resized(values: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, H, W) to `size` (height, width), bilinear; the same tensor if that is its size."""
    if tuple(values.shape[-2:]) == tuple(size):
        return values
    return functional.interpolate(values, size=tuple(size), mode='bilinear', align_corners=False)


def normalized_canvas(
    images: Tensor, side: int, normalization: Normalization, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Normalize images and stretch them to a square, as the authors do.

    Parameters
    ----------
    images
        (B, 3, H, W) RGB, uint8, or float in [0, 1].
    side
        Side of the square.
    normalization
        What the weights were trained with.
    dtype
        Of the result; the arithmetic is float32.

    Returns
    -------
    Tensor
        (B, 3, side, side). Bilinear, no antialiasing: the released weights expect that.
    """
    values = unit_range(images)
    mean, std = (values.new_tensor(channels).view(1, 3, 1, 1) for channels in normalization)
    return resized((values - mean) / std, (side, side)).to(dtype)
