# SPDX-License-Identifier: Apache-2.0
"""MetricAnything teacher: Depth Pro with one shared transformer and a prompt-conditioned decoder.

The prompt is a dense tensor [pixel-wise aligned map, globally aligned map, mask of the sparse
points], in inverse depth relative to the median point, made outside from the sparse prompt and a
depth prior (`estimators.alignment`). The answer is relative to that point too, so that scaling a
prompt scales the depth exactly. A zero convolution ends every injection: an untrained prompt
branch changes nothing. The paper's weights and code are unreleased; what it leaves open is chosen
here and said so. Imports torch, `errors` and siblings.

Source: "MetricAnything" (2026), sections 3.2 and 7; Lin et al., "Prompting Depth Anything"
(CVPR 2025), for the injection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from reprlib import repr as shown
from typing import Any

import torch
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.backbones.dinov2 import DinoV2, DinoV2Config
from metric_depth_ros.networks.backbones.dinov3 import DinoV3, DinoV3Config
from metric_depth_ros.networks.canonical import PerImage, per_image
from metric_depth_ros.networks.compact_blocks import start_at_zero
from metric_depth_ros.networks.depth_pro import depth_pro_decoder, depth_pro_encoder, vit_large
from metric_depth_ros.networks.fusion import depth_head
from metric_depth_ros.networks.images import HALF, IMAGENET, batched, resized
from metric_depth_ros.networks.prompt_choices import GMDR_MODES, PROMPT_NORMS
from metric_depth_ros.networks.pyramid_network import PyramidConfig, PyramidNetwork

INVERSE_DEPTH_LIMITS = (1e-4, 1e4)  # in units of the prompt
PROMPT_CHANNELS = 3
LEVELS = 5


@dataclass(frozen=True)
class TeacherConfig(PyramidConfig):
    """Shape of the network; the defaults are the large one, with the encoder of the student.

    The paper does not name the vision transformer; its arithmetic fits ViT-H+ and not ViT-L. The
    taps, fine to coarse, are at a quarter and at half of the depth. The prompt branches are as
    wide as the decoder. See `PyramidConfig`.

    Attributes
    ----------
    prompt_norm
        Unit of the prompt's inverse depth: ``'median'``, that of its median point, or ``'none'``,
        1/m.
    gmdr_mode
        How the prior is aligned as a whole: ``'global'``, by one scale and shift, or ``'lwlr'``,
        by some that vary slowly.
    """

    backbone: DinoV3Config | DinoV2Config = field(default_factory=DinoV3Config)
    taps: tuple[int, int] = (7, 15)
    widths: tuple[int, int, int, int] = (256, 512, 1024, 1024)
    prompt_norm: str = 'median'
    gmdr_mode: str = 'global'

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (('prompt_norm', PROMPT_NORMS), ('gmdr_mode', GMDR_MODES)):
            if getattr(self, name) not in known:
                raise InputError(
                    'checkpoint_config',
                    f'{name} is {shown(getattr(self, name))}, expected one of {", ".join(known)}.',
                )

    @classmethod
    def vit_large(cls) -> TeacherConfig:
        """With the transformer of Depth Pro, whose weights fit all but the prompt branches."""
        return cls(backbone=vit_large(), taps=(5, 11))


class PromptBranch(nn.Module):
    """Adds one level's view of the prompt to the decoder's features.

    Parameters
    ----------
    width
        Channels of the features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Conv2d(width, width, 3, padding=1)
        start_at_zero(last)
        self.layers = nn.Sequential(
            nn.Conv2d(PROMPT_CHANNELS, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            last,
        )

    def forward(self, features: Tensor, prompts: Sequence[Tensor], prompted: Tensor) -> Tensor:
        """Inject.

        Parameters
        ----------
        features
            (B, width, h, w).
        prompts
            Normalized prompt tensors (b, 3, H, W) of any sizes, of B images together.
        prompted
            (B, 1, 1, 1): 1 where the prompt counts, 0 where the image has none.

        Returns
        -------
        Tensor
            (B, width, h, w).
        """
        seen = torch.cat([resized_prompt(prompt, features.shape[-2:]) for prompt in prompts])
        return torch.addcmul(features, self.layers(seen), prompted.to(features.dtype))


class Teacher(PyramidNetwork):
    """Inverse depth of one image, relative to its prompt's.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: TeacherConfig) -> None:
        backbone: DinoV3 | DinoV2
        if isinstance(config.backbone, DinoV3Config):
            normalization, backbone = IMAGENET, DinoV3(config.backbone)
        else:
            normalization, backbone = HALF, DinoV2(config.backbone)
        super().__init__(config, normalization)
        self.encoder = depth_pro_encoder(
            backbone, config.taps, config.widths, config.decoder_width
        )
        self.decoder = depth_pro_decoder(config.widths, config.decoder_width)
        self.prompt_branches = nn.ModuleList(
            PromptBranch(config.decoder_width) for _ in range(LEVELS)
        )
        self.head = depth_head(config.decoder_width, config.head_width, extra_layers=0)
        last: Any = self.head[-2]
        nn.init.zeros_(last.bias)

    def forward(
        self,
        canvas: Tensor,
        prompt: Tensor | Sequence[Tensor] | None = None,
        max_crops_per_batch: int | None = None,
    ) -> Tensor:
        """Predict inverse depth in the prompt's unit.

        Parameters
        ----------
        canvas
            (B, 3, S, S) normalized images; S a multiple of 32 patches.
        prompt
            (B, 3, H, W) normalized, of any size, or one (1, 3, H, W) an image where the sizes
            differ. An image whose mask is empty gets the same answer as without a prompt.
        max_crops_per_batch
            Crops that go through the transformer at once; None for all 35 B.

        Returns
        -------
        Tensor
            (B, 1, S', S'), not negative; S' is S for 16-pixel patches.
        """
        levels = self.encoder(canvas, max_crops_per_batch)
        injections = None
        if prompt is not None:
            given = [prompt] if isinstance(prompt, Tensor) else prompt
            prompts = [part.to(canvas.dtype) for part in given]
            prompted = torch.cat([has_points(part) for part in prompts]).to(canvas.dtype)
            injections = [
                partial(branch, prompts=prompts, prompted=prompted)
                for branch in self.prompt_branches
            ]
        features, _ = self.decoder(levels, injections)
        return self.head(features)

    def infer(
        self,
        images: Tensor,
        prompt: Tensor | None = None,
        unit_m: Tensor | None = None,
        *,
        focal_px: PerImage | None = None,
        canvas: int | None = None,
        max_crops_per_batch: int | None = None,
    ) -> dict[str, Tensor]:
        """Estimate metric depth.

        Parameters
        ----------
        images
            (3, H, W) or (B, 3, H, W) RGB, uint8 or float in [0, 1].
        prompt
            (3, h, w) or (B, 3, h, w): pixel-wise and globally aligned inverse depth in 1 /
            `unit_m`, and the mask of the points. Stretched over the image whatever its size.
        unit_m
            (B,) m, the depth of each image's median point; None for a prompt in 1/m.
        focal_px
            Horizontal focal length in pixels, one or one per image. Counts only for images
            without points, whose answer is canonical inverse depth; None takes the image width.
        canvas
            Side of the square that the images are stretched to; None for the trained one.
        max_crops_per_batch
            As in `forward`.

        Returns
        -------
        dict
            ``depth`` (B, H, W) float32 m; ``farthest_m`` (B,) float32 m, where the network's
            range ends; ``prompted`` (B,) bool, False where there were no points and the scale
            rests on the focal length alone.
        """
        images = batched(images)
        height, width = images.shape[-2:]
        prepared = self.prepare(images, canvas)
        device, batch = prepared.device, len(images)
        unit = per_image(float(width) if focal_px is None else focal_px, batch, device) / width
        prompted = torch.zeros(batch, 1, 1, 1, dtype=torch.bool, device=device)
        if prompt is not None:
            prompt = _batched_prompt(prompt, batch).to(device)
            prompted = has_points(prompt)
            prompt_unit = per_image(1.0 if unit_m is None else unit_m, batch, device)
            unit = torch.where(prompted, prompt_unit, unit)
        relative = self(prepared, prompt, max_crops_per_batch).float()
        relative = resized(relative, (height, width)).clamp(*INVERSE_DEPTH_LIMITS)
        return {
            'depth': (unit / relative)[:, 0],
            'farthest_m': unit.flatten() / INVERSE_DEPTH_LIMITS[0],
            'prompted': prompted.flatten(),
        }


def has_points(prompt: Tensor) -> Tensor:
    """Whether the mask channel of (B, 3, H, W) marks any point, as (B, 1, 1, 1) bool."""
    return (prompt[:, 2:] > 0).flatten(1).any(dim=1).view(-1, 1, 1, 1)


def resized_prompt(prompt: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a prompt tensor: maps bilinearly, the mask by maximum, so that no point is lost."""
    maps, mask = resized(prompt[:, :2], size), prompt[:, 2:]
    for dim, count in zip((2, 3), size, strict=True):
        mask = _pooled(mask, dim, count)
    return torch.cat([maps, mask], dim=1)


def _pooled(values: Tensor, dim: int, count: int) -> Tensor:
    """Adaptive max pooling along one dimension, in operators that exporters know at any size."""
    length = values.shape[dim]
    widest = -(-length // count) + 1  # no window is wider; a narrower one repeats its end
    window = torch.arange(count, device=values.device)[:, None]
    start, end = window * length // count, -(-(window + 1) * length // count)
    offset = torch.arange(widest, device=values.device)
    index = torch.minimum(start + offset, end - 1)
    return values.index_select(dim, index.flatten()).unflatten(dim, index.shape).amax(dim + 1)


def _batched_prompt(prompt: Tensor, batch: int) -> Tensor:
    prompt = prompt[None] if prompt.ndim == 3 else prompt
    if prompt.ndim != 4 or prompt.shape[:2] != (batch, PROMPT_CHANNELS):
        raise InputError(
            'network_prompt_shape',
            f'the prompt tensor has the shape {tuple(prompt.shape)}; expected ({batch}, '
            f'{PROMPT_CHANNELS}, H, W): two aligned maps and the mask, one per image',
        )
    return prompt
