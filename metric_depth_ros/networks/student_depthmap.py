# SPDX-License-Identifier: Apache-2.0
"""MetricAnything Student-DepthMap: DINOv3 ViT-H+/16 pyramid, decoder with inverted skips.

The earliest tapped block enters the decoder at the coarse end, the last one next to the output:
the reverse of Depth Pro, whose order is there for the ablation. Imports torch, `errors` and
siblings.

The published head answers canonical inverse depth. The other, `dlog`, answers D_log = 1 - ln(d) /
ln(C) of canonical depth d: the network sees no focal length, and what it cannot see it cannot
answer. So the constant C bounds canonical depth, d = C^(1 - D_log) <= C, and metric depth ends at
C * focal length / image width.

Source: "MetricAnything" (2026), section 3.3 and table 12, and its reference code,
models/student_depthmap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from reprlib import repr as shown
from typing import TypeVar

import torch
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.backbones.dinov3 import DinoV3, DinoV3Config
from metric_depth_ros.networks.canonical import PerImage, depth_from_canonical, per_image
from metric_depth_ros.networks.fusion import FusionBlock, FusionDecoder, depth_head, projection
from metric_depth_ros.networks.images import IMAGENET, batched
from metric_depth_ros.networks.pyramid import PyramidEncoder, Upsampling
from metric_depth_ros.networks.pyramid_network import PyramidConfig, PyramidNetwork

INVERSE_DEPTH_LIMITS = (1e-3, 1e3)  # 1/m
DEFAULT_FOCAL_PX = 1000.0
INV, DLOG = 'inv', 'dlog'
INVERTED, UNET = 'inverted', 'unet'
MOST_FARTHEST_M = 1e4

Item = TypeVar('Item')


@dataclass(frozen=True)
class StudentDepthMapConfig(PyramidConfig):
    """Shape of the network; taps stand early to late. See `PyramidConfig`.

    Attributes
    ----------
    skips
        ``'inverted'``: the earliest tap at the coarse end; or ``'unet'``: the last one, in the
        order of Depth Pro, with the doublings that the levels then need.
    head_param
        What the head answers of canonical depth: ``'inv'``, its inverse, as released, or
        ``'dlog'``, 1 - ln(depth) / ln(`farthest_m`).
    farthest_m
        The constant C of ``'dlog'``: canonical depth in meters that is answered at most.
    """

    backbone: DinoV3Config = field(default_factory=DinoV3Config)
    taps: tuple[int, int, int, int] = (7, 13, 19, 25)
    widths: tuple[int, int, int, int] = (320, 256, 320, 640)
    skips: str = INVERTED
    head_param: str = INV
    farthest_m: float = 400.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (('skips', (INVERTED, UNET)), ('head_param', (INV, DLOG))):
            if getattr(self, name) not in known:
                raise InputError(
                    'checkpoint_config',
                    f'{name} is {shown(getattr(self, name))}, expected one of {", ".join(known)}.',
                )
        if not 1.0 < self.farthest_m <= MOST_FARTHEST_M:
            raise InputError(
                'checkpoint_config',
                f'farthest_m is {self.farthest_m}, expected more than 1 and at most '
                f'{MOST_FARTHEST_M:g}.',
            )


class _ExactLayer(nn.Conv2d):
    """A layer in float32, whatever the others are cast to.

    bf16 holds D_log in steps that are 2 to 5 % of the depth.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _ExactLayer:
        def moved(tensor: Tensor) -> Tensor:
            changed = fn(tensor)
            return changed if changed.dtype == tensor.dtype else tensor.to(changed.device)

        super()._apply(moved, recurse)
        return self

    def forward(self, values: Tensor) -> Tensor:
        """Convolve in float32."""
        with torch.autocast(values.device.type, enabled=False):
            return super().forward(values.float())


class StudentDepthMap(PyramidNetwork):
    """Canonical inverse depth of one image, metric once the focal length is known.

    Parameters
    ----------
    config
        Shape of the network.
    """

    config: StudentDepthMapConfig

    def __init__(self, config: StudentDepthMapConfig) -> None:
        super().__init__(config, IMAGENET)
        latent, high, middle, low = config.widths
        # Doublings of the taps and of the last features, for the level where each enters.
        steps = (1, 2, 2, 2, 3) if config.skips == INVERTED else (3, 2, 2, 2, 1)
        self.encoder = PyramidEncoder(
            DinoV3(config.backbone),
            config.taps,
            latents=[Upsampling(latent, latent, count) for count in steps[:4]],
            high=Upsampling(high, high, steps[4]),
            middle=Upsampling(middle, middle, 1),
            low=Upsampling(low, low, 1),
        )
        width = config.decoder_width
        doubles = (False, True, False, False, True, True, True)
        latents = [latent] * len(config.taps)
        channels = (*self._fine_first(latents, high), middle, low)
        self.decoder = FusionDecoder(
            [projection(count, width) for count in channels],
            [
                FusionBlock(width, skip=level < len(channels) - 1, double=double)
                for level, double in enumerate(doubles)
            ],
        )
        self.head = depth_head(width, config.head_width, extra_layers=4)
        if config.head_param == DLOG:
            self.head[-2] = _ExactLayer(config.head_width, 1, 1)

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
            (B, 1, S', S'), not negative; S' is S for 16-pixel patches. A head of D_log answers
            float32, at least 1 / C.
        """
        latents_high_middle_low = self.encoder(canvas, max_crops_per_batch)
        latents, (high, middle, low) = latents_high_middle_low[:4], latents_high_middle_low[4:]
        features, _ = self.decoder([*self._fine_first(latents, high), middle, low])
        answer = self.head(features)
        if self.config.head_param == INV:
            return answer
        return ((answer - 1.0) * math.log(self.config.farthest_m)).exp()

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
            ``depth`` (B, H, W) float32 m, within [0.001, 1000], and ``farthest_m`` (B,) float32
            m, where the network's range ends. Images of the canvas' size come back at the
            network's output size.
        """
        images = batched(images)
        prepared = self.prepare(images, canvas)
        given = DEFAULT_FOCAL_PX if focal_px is None else focal_px
        focal = per_image(given, len(images), prepared.device)
        depth = depth_from_canonical(
            self(prepared, max_crops_per_batch),
            focal,
            images.shape[-2:],
            canvas=prepared.shape[-1],
            limits=INVERSE_DEPTH_LIMITS,
        )
        canonical_m = self.config.farthest_m if self.config.head_param == DLOG else math.inf
        farthest_m = canonical_m * focal.flatten() / images.shape[-1]
        return {'depth': depth, 'farthest_m': farthest_m.clamp(max=1.0 / INVERSE_DEPTH_LIMITS[0])}

    def _fine_first(self, latents: Sequence[Item], high: Item) -> list[Item]:
        """Return what the finer levels of the decoder get, fine to coarse."""
        early_to_late = [*latents, high]
        return early_to_late if self.config.skips == UNET else early_to_late[::-1]
