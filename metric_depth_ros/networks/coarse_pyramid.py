# SPDX-License-Identifier: Apache-2.0
"""A crop pyramid without its finest level: 10 crops go through the transformer instead of 35.

The 3x3 crops of the middle level take the place of the 5x5 crops of the full-size image, and one
view of the whole image takes that of the 3x3. All weights are those of the full pyramid. Imports
torch and `pyramid`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from metric_depth_ros.networks.pyramid import (
    MIDDLE_CROPS,
    PyramidEncoder,
    encode_crops,
    require_square,
)


def coarse_canvas_multiple(patch_size: int) -> int:
    """Divisor of every canvas side: a quarter of a crop of half the canvas is whole patches."""
    return 2 * 4 * patch_size


def cut_coarse_crops(images: Tensor) -> Tensor:
    """Cut square images into 3x3 crops that overlap by half, and one view of the whole.

    Parameters
    ----------
    images
        (B, 3, S, S).

    Returns
    -------
    Tensor
        (10 B, 3, S / 2, S / 2): row-major, crop by crop, the whole image last.
    """
    size = images.shape[-1] // 2
    whole = functional.interpolate(images, scale_factor=0.5, mode='bilinear', align_corners=False)
    starts = (0, size // 2, size)
    crops = [
        images[..., row : row + size, column : column + size]
        for row in starts
        for column in starts
    ]
    return torch.cat([*crops, whole])


class CoarsePyramid(nn.Module):
    """Takes the place of a `PyramidEncoder`: the same maps, relative to a smaller canvas.

    Parameters
    ----------
    full
        The encoder whose parts are used.
    """

    def __init__(self, full: PyramidEncoder) -> None:
        super().__init__()
        self.full = full

    def forward(self, images: Tensor, max_crops_per_batch: int | None = None) -> list[Tensor]:
        """Encode normalized square images; see `PyramidEncoder.forward`.

        Raises
        ------
        InputError
            `network_input_size` if the images are not square or not divisible.
        """
        full, batch = self.full, len(images)
        require_square(images, coarse_canvas_multiple(full.patch_encoder.patch_size))
        crops = cut_coarse_crops(images)
        tokens, latents = encode_crops(
            full.patch_encoder, crops, full.taps, MIDDLE_CROPS * batch, max_crops_per_batch
        )
        fine, whole = tokens.split([MIDDLE_CROPS * batch, batch])
        encodings = [
            full.get_submodule(f'upsample_latent{index}')(full.merge_middle(latent, batch))
            for index, latent in enumerate(latents)
        ]
        encodings.append(full.upsample0(full.merge_middle(fine, batch)))
        whole_map = full.merge_low(whole, batch)
        encodings.append(full.upsample1(whole_map))
        global_map = whole_map
        if full.image_encoder is not None:
            global_map = full.merge_low(full.image_encoder(crops[-batch:])[0], batch)
        low, seen = (functional.avg_pool2d(one, 2) for one in (whole_map, global_map))
        encodings.append(
            full.fuse_lowres(torch.cat([full.upsample2(low), full.upsample_lowres(seen)], dim=1))
        )
        return encodings
