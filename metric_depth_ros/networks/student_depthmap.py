# SPDX-License-Identifier: Apache-2.0
"""MetricAnything Student-DepthMap: DINOv3 ViT-H+/16 pyramid, decoder with inverted skips.

The earliest tapped block enters the decoder at the coarse end, the last one next to the output:
the reverse of Depth Pro. Imports torch and siblings.

Source: "MetricAnything" (2026) and its reference code, models/student_depthmap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from metric_depth_ros.networks.backbones.dinov3 import DinoV3, DinoV3Config
from metric_depth_ros.networks.canonical import PerImage, depth_from_canonical, per_image
from metric_depth_ros.networks.fusion import FusionBlock, FusionDecoder, depth_head, projection
from metric_depth_ros.networks.images import IMAGENET, batched
from metric_depth_ros.networks.pyramid import PyramidEncoder, Upsampling
from metric_depth_ros.networks.pyramid_network import PyramidConfig, PyramidNetwork

INVERSE_DEPTH_LIMITS = (1e-3, 1e3)  # 1/m
DEFAULT_FOCAL_PX = 1000.0


@dataclass(frozen=True)
class StudentDepthMapConfig(PyramidConfig):
    """Shape of the network; taps stand early to late. See `PyramidConfig`."""

    backbone: DinoV3Config = field(default_factory=DinoV3Config)
    taps: tuple[int, int, int, int] = (7, 13, 19, 25)
    widths: tuple[int, int, int, int] = (320, 256, 320, 640)


class StudentDepthMap(PyramidNetwork):
    """Canonical inverse depth of one image, metric once the focal length is known.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: StudentDepthMapConfig) -> None:
        super().__init__(config, IMAGENET)
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
        focal_px: PerImage | None = None,
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
        prepared = self.prepare(images, canvas)
        focal = DEFAULT_FOCAL_PX if focal_px is None else focal_px
        depth = depth_from_canonical(
            self(prepared, max_crops_per_batch),
            per_image(focal, len(images), prepared.device),
            images.shape[-2:],
            canvas=prepared.shape[-1],
            limits=INVERSE_DEPTH_LIMITS,
        )
        return {'depth': depth}
