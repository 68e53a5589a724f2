# SPDX-License-Identifier: Apache-2.0
"""MetricAnything Student-DepthMap: DINOv3 ViT-H+/16 pyramid, decoder with inverted skips.

The earliest tapped block enters the decoder at the coarse end, the last one next to the output:
the reverse of Depth Pro. Imports torch and siblings.

Source: metric-anything, models/student_depthmap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from metric_depth_ros.networks.backbones import State, translate_parts
from metric_depth_ros.networks.backbones.dinov3 import DinoV3, DinoV3Config, swiglu_hidden_dim
from metric_depth_ros.networks.canonical import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    batched,
    depth_from_canonical,
    normalized_canvas,
    per_image,
)
from metric_depth_ros.networks.fusion import FusionBlock, FusionDecoder, depth_head, projection
from metric_depth_ros.networks.pyramid import PyramidEncoder, Upsampling

INVERSE_DEPTH_LIMITS = (1e-3, 1e3)
DEFAULT_FOCAL_PX = 1000.0


@dataclass(frozen=True)
class StudentDepthMapConfig:
    """Shape of the network; the defaults are the released one.

    Attributes
    ----------
    backbone
        Vision transformer.
    taps
        Blocks that feed the latent maps, early to late.
    widths
        Channels of the latent, full-size, half-size and global maps.
    decoder_width
        Channels of the decoder.
    head_width
        Channels of the head's last layers.
    canvas
        Side of the square that images are stretched to.
    """

    backbone: DinoV3Config = field(default_factory=DinoV3Config)
    taps: tuple[int, int, int, int] = (7, 13, 19, 25)
    widths: tuple[int, int, int, int] = (320, 256, 320, 640)
    decoder_width: int = 256
    head_width: int = 32
    canvas: int = 1536

    @classmethod
    def released(cls) -> StudentDepthMapConfig:
        """Architecture of the published weights."""
        return cls()

    @classmethod
    def from_golden(cls, config: Mapping[str, Any]) -> StudentDepthMapConfig:
        """Architecture of a conformance case: the `config` entry of its config.json."""
        vit = config['vit']
        return cls(
            backbone=DinoV3Config(
                embed_dim=vit['embed_dim'],
                depth=vit['depth'],
                num_heads=vit['num_heads'],
                hidden_dim=swiglu_hidden_dim(vit['embed_dim'], vit['ffn_ratio']),
                patch_size=vit['patch_size'],
                num_registers=vit['n_storage_tokens'],
            ),
            taps=tuple(config['hook_block_ids']),
            widths=tuple(config['dims_encoder']),
            decoder_width=config['decoder_features'],
            head_width=config['last_dims'][0],
            canvas=config['network_input'],
        )


class StudentDepthMap(nn.Module):
    """Canonical inverse depth of one image, metric once the focal length is known.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: StudentDepthMapConfig) -> None:
        super().__init__()
        self.config = config
        latent, high, middle, low = config.widths
        self.encoder = PyramidEncoder(
            DinoV3(config.backbone),
            config.taps,
            latents=[Upsampling(latent, latent, steps) for steps in (1, 2, 2, 2)],
            high=Upsampling(high, high, 3),
            middle=Upsampling(middle, middle, 1),
            low=Upsampling(low, low, 1),
        )
        width = config.decoder_width
        doubles = (False, True, False, False, True, True, True)
        channels = (high, latent, latent, latent, latent, middle, low)
        self.decoder = FusionDecoder(
            [projection(count, width) for count in channels],
            [
                FusionBlock(width, skip=level < len(channels) - 1, double=double)
                for level, double in enumerate(doubles)
            ],
        )
        self.head = depth_head(width, config.head_width, extra_layers=4)

    def forward(self, canvas: Tensor, max_crops_per_batch: int | None = None) -> Tensor:
        """Predict canonical inverse depth.

        Parameters
        ----------
        canvas
            (B, 3, S, S) normalized images; S a multiple of 32 patches.
        max_crops_per_batch
            Crops that go through the transformer at once; None for all 35 B.

        Returns
        -------
        Tensor
            (B, 1, S', S'), not negative; S' is S for 16-pixel patches.
        """
        latents_high_middle_low = self.encoder(canvas, max_crops_per_batch)
        latents, (high, middle, low) = latents_high_middle_low[:4], latents_high_middle_low[4:]
        features, _ = self.decoder([high, *reversed(latents), middle, low])
        return self.head(features)

    def infer(
        self,
        images: Tensor,
        focal_px: float | Sequence[float] | Tensor | None = None,
        *,
        canvas: int | None = None,
        max_crops_per_batch: int | None = None,
    ) -> dict[str, Tensor]:
        """Estimate metric depth as the authors' `infer` does.

        Parameters
        ----------
        images
            (3, H, W) or (B, 3, H, W) RGB, uint8 or float in [0, 1].
        focal_px
            Horizontal focal length in pixels of these images, one or one per image. None takes
            1000, as the authors do; the scale is then a guess.
        canvas
            Side of the square that the images are stretched to; None for the trained one.
        max_crops_per_batch
            As in `forward`.

        Returns
        -------
        dict
            ``depth`` (B, H, W) float32 m, within [0.001, 1000]. Images of the canvas' size come
            back at the network's output size.
        """
        images = batched(images)
        side = canvas or self.config.canvas
        prepared = self.prepare(images, canvas)
        focal = per_image(
            DEFAULT_FOCAL_PX if focal_px is None else focal_px, len(images), prepared.device
        )
        size = tuple(images.shape[-2:])
        depth = depth_from_canonical(
            self(prepared, max_crops_per_batch),
            focal,
            size,
            limits=INVERSE_DEPTH_LIMITS,
            resize=size != (side, side),
        )
        return {'depth': depth}

    def prepare(self, images: Tensor, canvas: int | None = None) -> Tensor:
        """(B, 3, H, W) RGB images to normalized squares in the network's dtype and device."""
        weight = next(self.head.parameters())
        return normalized_canvas(
            images.to(weight.device),
            canvas or self.config.canvas,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            dtype=weight.dtype,
        )

    def from_official(self, state: Mapping[str, Tensor]) -> State:
        """Give the released state dict this module's names; unknown keys stay as they are."""
        return translate_parts(state, self._backbones(), to_official=False)

    def to_official(self, state: Mapping[str, Tensor]) -> State:
        """Give this module's state dict the released names and shapes."""
        return translate_parts(state, self._backbones(), to_official=True)

    def _backbones(self) -> dict[str, Any]:
        return {'encoder.patch_encoder.': self.encoder.patch_encoder}
