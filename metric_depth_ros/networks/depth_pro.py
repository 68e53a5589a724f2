# SPDX-License-Identifier: Apache-2.0
"""Apple Depth Pro: three DINOv2 ViT-L/16, crop pyramid, decoder, field-of-view head.

Assembled here from the parts that the other pyramid networks share: transformers' own Depth Pro
computes the same numbers, but only for sizes whose decoder is as wide as the finest latent map,
and it keeps every hidden state of the crops. Imports torch, `errors` and siblings.

Source: Bochkovskii et al., "Depth Pro" (ICLR 2025), and its reference code, ml-depth-pro.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.backbones import Backbone
from metric_depth_ros.networks.backbones.dinov2 import DinoV2, DinoV2Config
from metric_depth_ros.networks.canonical import PerImage, depth_from_canonical, per_image
from metric_depth_ros.networks.fusion import FusionBlock, FusionDecoder, depth_head, projection
from metric_depth_ros.networks.images import HALF, batched
from metric_depth_ros.networks.pyramid import PyramidEncoder, Upsampling
from metric_depth_ros.networks.pyramid_network import PyramidConfig, PyramidNetwork

INVERSE_DEPTH_LIMITS = (1e-4, 1e4)  # 1/m
FOV_GRID = 24


def vit_large() -> DinoV2Config:
    """DINOv2 ViT-L with patches of 16 pixels, for crops of 384."""
    return DinoV2Config(1024, 24, 16, patch_size=16, native_grid=24, mask_token=False)


@dataclass(frozen=True)
class DepthProConfig(PyramidConfig):
    """Shape of the network: each of the three vision transformers has that of `backbone`.

    Taps stand fine to coarse. See `PyramidConfig`.
    """

    backbone: DinoV2Config = field(default_factory=vit_large)
    taps: tuple[int, int] = (5, 11)
    widths: tuple[int, int, int, int] = (256, 512, 1024, 1024)


class FieldOfView(nn.Module):
    """Horizontal field of view in degrees from the quarter-size image and decoder features.

    Parameters
    ----------
    backbone
        Shape of its own vision transformer, whose grid must be 24x24.
    width
        Channels of the decoder features.
    """

    def __init__(self, backbone: DinoV2Config, width: int) -> None:
        super().__init__()
        half = width // 2
        self.encoder = nn.ModuleList([DinoV2(backbone), nn.Linear(backbone.embed_dim, half)])
        self.downsample = nn.Sequential(nn.Conv2d(width, half, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Sequential(
            nn.Conv2d(half, half // 2, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(half // 2, half // 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(half // 4, 1, FOV_GRID // 4),
        )

    def forward(self, canvas: Tensor, lowres: Tensor) -> Tensor:
        """Estimate the field of view.

        Parameters
        ----------
        canvas
            (B, 3, S, S) normalized images.
        lowres
            (B, width, 48, 48) coarsest decoder level.

        Returns
        -------
        Tensor
            (B, 1, 1, 1) degrees.
        """
        quarter = nn.functional.interpolate(
            canvas, scale_factor=0.25, mode='bilinear', align_corners=False
        )
        vit, to_width = self.encoder
        patches = to_width(vit(quarter)[0])[:, vit.prefix_tokens :]
        grid = patches.transpose(1, 2).unflatten(2, (FOV_GRID, FOV_GRID))
        return self.head(grid + self.downsample(lowres.detach()))


class DepthPro(PyramidNetwork):
    """Canonical inverse depth and field of view of one image.

    Parameters
    ----------
    config
        Shape of the network.
    """

    low_precision = 'fp16'  # as its authors run it: bf16 is eight times as coarse

    def __init__(self, config: DepthProConfig) -> None:
        super().__init__(config, HALF)
        self.encoder = depth_pro_encoder(
            DinoV2(config.backbone),
            config.taps,
            config.widths,
            config.decoder_width,
            image_encoder=DinoV2(config.backbone),
        )
        self.decoder = depth_pro_decoder(config.widths, config.decoder_width)
        self.head = depth_head(config.decoder_width, config.head_width, extra_layers=0)
        self.fov = FieldOfView(config.backbone, config.decoder_width)

    def forward(
        self, canvas: Tensor, max_crops_per_batch: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Predict canonical inverse depth and the field of view.

        Parameters
        ----------
        canvas
            (B, 3, S, S) normalized images of the configured size.
        max_crops_per_batch
            Crops that go through the transformer at once; None for all 35 B.

        Returns
        -------
        tuple
            Canonical inverse depth (B, 1, S', S'), not negative; horizontal field of view
            (B, 1, 1, 1) in degrees.
        """
        features, lowres = self._decode(canvas, max_crops_per_batch)
        return self.head(features), self.fov(canvas, lowres)

    def canonical_inverse_depth(
        self, canvas: Tensor, max_crops_per_batch: int | None = None
    ) -> Tensor:
        """Predict as `forward` does, without the field of view: a transformer less."""
        return self.head(self._decode(canvas, max_crops_per_batch)[0])

    def infer(
        self,
        images: Tensor,
        focal_px: PerImage | None = None,
        *,
        max_crops_per_batch: int | None = None,
    ) -> dict[str, Tensor]:
        """Estimate metric depth as the authors' `infer` does.

        Parameters
        ----------
        images
            (3, H, W) or (B, 3, H, W) RGB, uint8 or float in [0, 1].
        focal_px
            Horizontal focal length in pixels of these images, one or one per image. None
            estimates each from its image.
        max_crops_per_batch
            As in `forward`.

        Returns
        -------
        dict
            ``depth`` (B, H, W) float32 m, within [1e-4, 1e4]; ``focallength_px`` (B,) float32.
            Images of the canvas' size come back at the network's output size.
        """
        images = batched(images)
        height, width = images.shape[-2:]
        canvas = self.prepare(images)
        if focal_px is None:
            canonical, fov = self(canvas, max_crops_per_batch)
            focal = 0.5 * width / torch.tan(0.5 * torch.deg2rad(fov.float()))
        else:
            canonical = self.canonical_inverse_depth(canvas, max_crops_per_batch)
            focal = per_image(focal_px, len(images), canvas.device)
        depth = depth_from_canonical(
            canonical,
            focal,
            (height, width),
            canvas=self.config.canvas,
            limits=INVERSE_DEPTH_LIMITS,
        )
        return {'depth': depth, 'focallength_px': focal.flatten()}

    def _decode(self, canvas: Tensor, max_crops_per_batch: int | None) -> tuple[Tensor, Tensor]:
        if canvas.shape[-1] != self.config.canvas:
            raise InputError(
                'network_input_size',
                f'Depth Pro was given images of {canvas.shape[-1]} pixels; its position '
                f'embeddings and field-of-view head fit {self.config.canvas} only',
            )
        return self.decoder(self.encoder(canvas, max_crops_per_batch))


def depth_pro_encoder(
    patch_encoder: Backbone,
    taps: Sequence[int],
    widths: Sequence[int],
    decoder_width: int,
    image_encoder: Backbone | None = None,
) -> PyramidEncoder:
    """Build a pyramid encoder with Depth Pro's five maps.

    Parameters
    ----------
    patch_encoder, taps, image_encoder
        As in `PyramidEncoder`.
    widths
        Channels of the latent, full-size, half-size and global maps.
    decoder_width
        Channels of the finest latent map.
    """
    latent, high, middle, low = widths
    return PyramidEncoder(
        patch_encoder,
        taps,
        latents=[Upsampling(latent, decoder_width, 3), Upsampling(latent, latent, 2)],
        high=Upsampling(high, high, 1),
        middle=Upsampling(middle, middle, 1),
        low=Upsampling(low, low, 1),
        image_encoder=image_encoder,
    )


def depth_pro_decoder(widths: Sequence[int], decoder_width: int) -> FusionDecoder:
    """Build the decoder of five levels; only the finest does not double the resolution.

    The coarsest block's unit for a skip connection exists in the checkpoint and is never used.
    """
    return FusionDecoder(
        [nn.Identity(), *(projection(channels, decoder_width) for channels in widths)],
        [FusionBlock(decoder_width, skip=True, double=level > 0) for level in range(5)],
    )
