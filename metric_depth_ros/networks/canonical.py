# SPDX-License-Identifier: Apache-2.0
"""From a network's canonical inverse depth to meters. Imports torch and `errors`.

Canonical inverse depth is the inverse depth that a camera whose focal length equals the image
width would see; multiplied with width / focal length it is metric.

Source: Bochkovskii et al., "Depth Pro" (ICLR 2025), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.images import resized

PerImage = float | Sequence[float] | Tensor
"""One number for all images of a batch, or one for each."""


def per_image(values: PerImage, batch: int, device: torch.device) -> Tensor:
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
    canvas: int,
    limits: tuple[float, float],
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
    canvas
        Side of the square that the images were stretched to. Images of that very size keep the
        network's resolution, as in the authors' code.
    limits
        Range that inverse depth is clamped to, 1/m.

    Returns
    -------
    Tensor
        (B, H, W) float32, m.
    """
    inverse = canonical.float() * (size[1] / focal_px)
    if tuple(size) != (canvas, canvas):
        inverse = resized(inverse, size)
    return 1 / inverse.clamp(*limits)[:, 0]
