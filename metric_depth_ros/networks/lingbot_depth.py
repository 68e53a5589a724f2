# SPDX-License-Identifier: Apache-2.0
"""LingBot-Depth: metric depth from an image and an incomplete depth map, by masked modeling.

Patches of measured depth enter the transformer as tokens beside those of the image; patches
without a measurement stay out. Everything about the architecture is read from the checkpoint's
own ``model_config``. Imports torch, `errors` and its siblings.

Source: "LingBot-Depth: Masked Depth Modeling" (2026) and its reference code.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks import model_config as reading
from metric_depth_ros.networks.backbones import Backbone, State, translate_parts
from metric_depth_ros.networks.backbones.dinov2 import (
    HIGHEST_RESOLUTION_LEVEL,
    DinoV2Config,
    DinoV2Encoder,
    image_batch,
    named_config,
    token_grid,
    tokens_of_level,
)
from metric_depth_ros.networks.checkpoints import Checkpoint, load_strict
from metric_depth_ros.networks.convstack import (
    ConvStack,
    ConvStackConfig,
    at_image_size,
    moge_head,
    moge_neck,
    neck_inputs,
)

REPOSITORY = 'robbyant/lingbot-depth-pretrain-vitl-14-v0.5'
COMPLETION_REPOSITORY = 'robbyant/lingbot-depth-postrain-dc-vitl14'
FILENAME = 'model.pt'

_LOGGER = logging.getLogger(__name__)

_NEAREST_M = 0.01  # measurements up to it are none
# A patch counts when one of its processed pixels, 0 meaning none, lies up to this.
_LARGEST_PROCESSED = 200.0
_SMALLEST_PROCESSED = -9.5
_IMAGE_OFFSET, _DEPTH_OFFSET = 1.0, 2.0  # added to every channel of the tokens of a modality

_DEPTH_EMBEDDING = 'encoder.backbone.depth_patch_embed.'
_OTHER_DEPTH_EMBEDDING = 'encoder.backbone.depth_mask_patch_embed.'
# The authors' class is given these and never builds them.
_NEVER_BUILT = ('normal_head.', 'scale_head.', 'encoder.backbone.mask_token_mae')

_MODEL_CONFIG_KEYS = (
    'encoder',
    'neck',
    'depth_head',
    'mask_head',
    'normal_head',
    'scale_head',
    'remap_depth_in',
    'remap_depth_out',
    'num_tokens_range',
)


@dataclass(frozen=True)
class LingBotDepthConfig:
    """Architecture of a LingBot-Depth.

    Parameters
    ----------
    backbone
        Its vision transformer.
    taps
        Tapped blocks, ascending.
    neck, depth_head, mask_head
        Its decoders; the mask head may be None.
    remap_depth_in, remap_depth_out
        ``'log'`` or ``'linear'``; ``'exp'`` or ``'linear'``.
    num_tokens_range
        Image patches at resolution level 0 and at the highest.
    """

    backbone: DinoV2Config
    taps: tuple[int, ...]
    neck: ConvStackConfig
    depth_head: ConvStackConfig
    mask_head: ConvStackConfig | None
    remap_depth_in: str = 'log'
    remap_depth_out: str = 'exp'
    num_tokens_range: tuple[int, int] = (1200, 3600)

    @classmethod
    def from_model_config(cls, model_config: Mapping[str, Any]) -> LingBotDepthConfig:
        """Read the ``model_config`` of a checkpoint; unknown keys are reported and ignored.

        Parameters
        ----------
        model_config
            Constructor arguments of the authors' class; the backbone of the encoder may also be
            a dict of the fields of `DinoV2Config`.

        Raises
        ------
        InputError
            A part that is missing or that cannot be built; the message names it.
        """
        reading.report_unknown_keys(model_config, _MODEL_CONFIG_KEYS)
        encoder = reading.part(model_config, 'encoder')
        reading.choice(encoder, 'img_depth_fuse_mode', 'cat_token', ('cat_token',))
        reading.choice(encoder, 'depth_emb_mode', 'conv_1c', ('conv_1c',))
        backbone, taps, dim_out = reading.encoder(model_config)
        if dim_out != backbone.embed_dim:
            raise InputError(
                'checkpoint_config',
                f'dim_out of the encoder is {dim_out}, expected the width of the backbone, '
                f'{backbone.embed_dim}, because its class token is added to the map.',
            )
        return cls(
            backbone=backbone,
            taps=taps,
            neck=reading.stack(model_config, 'neck'),
            depth_head=reading.stack(model_config, 'depth_head'),
            mask_head=reading.optional_stack(model_config, 'mask_head'),
            remap_depth_in=reading.choice(
                model_config, 'remap_depth_in', 'log', ('log', 'linear')
            ),
            remap_depth_out=reading.choice(
                model_config, 'remap_depth_out', 'exp', ('exp', 'linear')
            ),
            num_tokens_range=reading.num_tokens_range(model_config),
        )

    @classmethod
    def released(cls) -> LingBotDepthConfig:
        """Return the released architecture, as far as it is known without the checkpoint."""
        return cls(
            backbone=named_config('dinov2_vitl14'),
            taps=(23,),
            neck=moge_neck(),
            depth_head=moge_head(1),
            mask_head=moge_head(1),
        )


class Sequences(NamedTuple):
    """Token sequences of a batch.

    Parameters
    ----------
    tokens
        (B, L, C): class, image patches row-major, depth patches row-major, padding.
    key_mask
        (B, L) bool of the tokens that take part; None when all do.
    """

    tokens: Tensor
    key_mask: Tensor | None


class PatchEmbedding(nn.Module):
    """Tokens of a depth map, one a patch."""

    def __init__(self, embed_dim: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, depth: Tensor) -> Tensor:
        """Return (B, N, C) from (B, 1, H, W)."""
        return self.proj(depth.to(self.proj.weight.dtype)).flatten(2).transpose(1, 2)


class ImageDepthEncoder(DinoV2Encoder):
    """An encoder whose transformer attends to image and depth patches together."""

    def __init__(self, backbone: DinoV2Config, taps: Sequence[int], log_depth: bool) -> None:
        super().__init__(backbone, taps, backbone.embed_dim)
        self.log_depth = log_depth
        self.depth_patch_embed = PatchEmbedding(backbone.embed_dim, backbone.patch_size)

    def prepare_depth(self, depth: Tensor, rows: int, columns: int) -> Tensor:
        """Resize measured depth (B, H, W) in meters to the grid; (B, 1, h, w), 0 where none.

        In log mode a depth of exactly 1 m becomes 0 as well, and so counts as none: this is how
        the released weights were trained.
        """
        patch = self.backbone.patch_size
        resized = interpolate(depth[:, None].float(), (rows * patch, columns * patch))
        metric = resized.nan_to_num(0.0, posinf=0.0, neginf=0.0)
        valid = metric > _NEAREST_M
        return metric.where(valid, 1.0).log() if self.log_depth else metric * valid

    def kept_patches(self, prepared: Tensor) -> Tensor:
        """Return (B, N) bool: patches with at least one measured pixel in range."""
        measured = (
            (prepared != 0) & (prepared >= _SMALLEST_PROCESSED) & (prepared <= _LARGEST_PROCESSED)
        )
        return max_pool2d(measured.float(), self.backbone.patch_size).flatten(1) > 0

    def sequences(
        self, image: Tensor, depth: Tensor, keep: Tensor | None, *, fixed_length: bool = False
    ) -> Sequences:
        """Build the sequences that enter the first block.

        Parameters
        ----------
        image, depth
            Prepared (B, 3, h, w) and (B, 1, h, w).
        keep
            (B, N) bool of the depth patches that take part, or None for all.
        fixed_length
            Mask the others out where they are, so that shapes do not depend on values (export,
            CUDA graphs) and nothing waits for the device; else leave them out and pad to the
            longest sequence of the batch.
        """
        vit = self.backbone
        rows, columns = (side // vit.patch_size for side in image.shape[-2:])
        positions = vit.position_embedding(rows, columns)
        image_tokens = vit.embed_image(image)
        image_tokens[:, 1:] += _IMAGE_OFFSET
        depth_tokens = self.depth_patch_embed(depth) + _DEPTH_OFFSET + positions[:, 1:]
        if keep is None or fixed_length:
            everything = torch.cat((image_tokens, depth_tokens), dim=1)
            if keep is None:
                return Sequences(everything, None)
            always = torch.ones_like(image_tokens[:, :, 0], dtype=torch.bool)
            return Sequences(everything, torch.cat((always, keep), dim=1))
        counts = keep.sum(dim=1)
        longest = int(counts.max())
        kept_first = keep.byte().argsort(dim=1, descending=True, stable=True)[:, :longest, None]
        chosen = depth_tokens.gather(1, kept_first.expand(-1, -1, depth_tokens.shape[-1]))
        tokens = torch.cat((image_tokens, chosen), dim=1)
        if int(counts.min()) == longest:
            return Sequences(tokens, None)
        lengths = counts[:, None] + image_tokens.shape[1]
        return Sequences(tokens, torch.arange(tokens.shape[1], device=tokens.device) < lengths)

    def forward(  # type: ignore[override]  # the parent knows no depth
        self,
        image: Tensor,
        depth: Tensor,
        rows: int,
        columns: int,
        *,
        mask_depth: bool = True,
        fixed_length: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Return the map (B, C, rows, columns) and the class token (B, C)."""
        prepared = self.prepare_depth(depth, rows, columns)
        tokens, key_mask = self.sequences(
            self.prepare_image(image, rows, columns),
            prepared,
            self.kept_patches(prepared) if mask_depth else None,
            fixed_length=fixed_length,
        )
        *raw, _ = self.backbone.run_blocks(tokens, self.taps, key_mask)
        taps = [self.backbone.norm(tap[:, : 1 + rows * columns]) for tap in raw]
        return self.project((tap[:, 1:] for tap in taps), rows, columns), taps[-1][:, 0]


class LingBotDepth(nn.Module):
    """LingBot-Depth: image and incomplete depth in, complete metric depth and mask out.

    Parameters
    ----------
    config
        Its architecture.
    """

    def __init__(self, config: LingBotDepthConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ImageDepthEncoder(
            config.backbone, config.taps, log_depth=config.remap_depth_in == 'log'
        )
        self.neck = ConvStack(config.neck)
        self.depth_head = ConvStack(config.depth_head)
        self.mask_head = None if config.mask_head is None else ConvStack(config.mask_head)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> LingBotDepth:
        """Build the network that a checkpoint describes and load it, on the CPU, for inference.

        Raises
        ------
        InputError
            No ``model_config``, no depth embedding, or keys that do not fit.
        """
        config = LingBotDepthConfig.from_model_config(reading.required_model_config(checkpoint))
        state, dropped = usable_state(checkpoint.state)
        if dropped:
            _LOGGER.warning('%s: not used by the network: %s', checkpoint.path, ', '.join(dropped))
        with torch.device('meta'):
            network = cls(config)
        load_strict(network, state)
        return network.eval()

    def token_grid(
        self,
        width: int,
        height: int,
        *,
        num_tokens: int | None = None,
        resolution_level: int = HIGHEST_RESOLUTION_LEVEL,
    ) -> tuple[int, int]:
        """Return (rows, columns) of patches that an image is worked on at.

        Parameters
        ----------
        width, height
            Size of the image.
        num_tokens
            Image patches, about; wins over the level.
        resolution_level
            0 (fast) to 9 (fine), spread over the configured range.
        """
        if num_tokens is None:
            num_tokens = tokens_of_level(resolution_level, self.config.num_tokens_range)
        return token_grid(num_tokens, width, height)

    def forward(
        self,
        image: Tensor,
        depth: Tensor,
        grid: tuple[int, int],
        *,
        mask_depth: bool = True,
        fixed_length: bool = False,
    ) -> dict[str, Tensor]:
        """Predict maps of the image's size.

        Parameters
        ----------
        image
            (B, 3, H, W) RGB in [0, 1].
        depth
            (B, H, W) m; 0, NaN and infinite where nothing was measured.
        grid
            Rows and columns of patches to work at.
        mask_depth
            Leave patches without a measurement out, as in training.
        fixed_length
            Make all shapes depend on the arguments' shapes only; see
            `ImageDepthEncoder.sequences`. The result is the same.

        Returns
        -------
        dict
            ``depth`` (B, H, W) m; ``mask`` (B, H, W) probability (with a mask head). float32.
        """
        height, width = image.shape[-2:]
        features, class_token = self.encoder(
            image, depth, *grid, mask_depth=mask_depth, fixed_length=fixed_length
        )
        features = features + class_token[:, :, None, None]
        pyramid = self.neck(neck_inputs(features, width / height))
        raw = at_image_size(self.depth_head(pyramid)[-1], height, width).squeeze(1)
        maps = {'depth': raw.exp() if self.config.remap_depth_out == 'exp' else raw}
        if self.mask_head is not None:
            raw = at_image_size(self.mask_head(pyramid)[-1], height, width).squeeze(1)
            maps['mask'] = raw.sigmoid()
        return maps

    def infer(
        self,
        image: Tensor,
        depth: Tensor,
        *,
        intrinsics: Tensor | None = None,
        num_tokens: int | None = None,
        resolution_level: int = HIGHEST_RESOLUTION_LEVEL,
        apply_mask: bool = True,
        enable_depth_mask: bool = True,
    ) -> dict[str, Tensor]:
        """Complete metric depth, as the authors' ``infer`` does.

        Parameters
        ----------
        image
            (B, 3, H, W) or (3, H, W) RGB, uint8 or float in [0, 1].
        depth
            (B, H, W) or (H, W) m; 0, NaN and infinite where nothing was measured.
        intrinsics
            (B, 3, 3) or (3, 3) in units of the image's width and height; asks for points.
        num_tokens, resolution_level
            See `token_grid`.
        apply_mask
            Put +Inf where the mask is false.
        enable_depth_mask
            Leave patches without a measurement out.

        Returns
        -------
        dict
            ``depth`` (B, H, W) m; ``mask`` (B, H, W) bool where the network has that head;
            ``points`` (B, H, W, 3) m where there are intrinsics. Without B when `image` had none.
        """
        images = image_batch(image)
        height, width = images.shape[-2:]
        maps = self(
            images,
            depth.reshape(len(images), height, width),
            self.token_grid(
                width, height, num_tokens=num_tokens, resolution_level=resolution_level
            ),
            mask_depth=enable_depth_mask,
        )
        if intrinsics is not None:
            maps['points'] = project_back(maps['depth'], intrinsics.expand(len(images), 3, 3))
        if 'mask' in maps:
            maps['mask'] = maps['mask'] > 0.5
            if apply_mask:
                _put_infinity(maps)
        return maps if image.dim() == 4 else {name: value[0] for name, value in maps.items()}

    def from_official(self, state: Mapping[str, Tensor]) -> State:
        """Give the authors' state dict this module's names; unknown keys stay as they are."""
        renamed = _with_prefix(state, _DEPTH_EMBEDDING, 'encoder.depth_patch_embed.')
        return translate_parts(renamed, self._translated_parts(), to_official=False)

    def to_official(self, state: Mapping[str, Tensor]) -> State:
        """Give this module's state dict the authors' names and shapes."""
        translated = translate_parts(state, self._translated_parts(), to_official=True)
        return _with_prefix(translated, 'encoder.depth_patch_embed.', _DEPTH_EMBEDDING)

    def _translated_parts(self) -> dict[str, Backbone]:
        return {'encoder.backbone.': self.encoder.backbone}


def usable_state(state: Mapping[str, Tensor]) -> tuple[State, list[str]]:
    """Return what a network takes of a released state, and the keys that were dropped.

    The depth embedding has two spellings in the wild. The authors' own loader leaves it random
    for one of them; here either is taken and one must be there.

    Raises
    ------
    InputError
        No depth embedding, or one of each spelling.
    """
    spelled = [
        prefix
        for prefix in (_DEPTH_EMBEDDING, _OTHER_DEPTH_EMBEDDING)
        if any(key.startswith(prefix) for key in state)
    ]
    if len(spelled) != 1:
        raise InputError(
            'checkpoint_keys',
            f'the checkpoint has {"both" if spelled else "neither"} {_DEPTH_EMBEDDING}* '
            f'{"and" if spelled else "nor"} {_OTHER_DEPTH_EMBEDDING}*: expected one of the two '
            'spellings of the depth embedding.',
        )
    dropped = sorted(key for key in state if key.startswith(_NEVER_BUILT))
    kept = {key: tensor for key, tensor in state.items() if key not in dropped}
    return _with_prefix(kept, spelled[0], _DEPTH_EMBEDDING), dropped


def project_back(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Return the points (B, H, W, 3) of depth (B, H, W); pixel centers at integer coordinates.

    Parameters
    ----------
    depth
        Meters along the optical axis.
    intrinsics
        (B, 3, 3) in units of the image's width and height.
    """
    height, width = depth.shape[-2:]
    u = torch.arange(width, device=depth.device, dtype=depth.dtype)
    v = torch.arange(height, device=depth.device, dtype=depth.dtype)
    K = intrinsics[:, :, :, None]
    x = (u - K[:, 0, 2] * width) / (K[:, 0, 0] * width)
    y = (v - K[:, 1, 2] * height) / (K[:, 1, 1] * height)
    return torch.stack((depth * x[:, None, :], depth * y[:, :, None], depth), dim=-1)


def _put_infinity(maps: dict[str, Tensor]) -> None:
    mask = maps['mask']
    maps['depth'] = maps['depth'].where(mask, math.inf)
    if 'points' in maps:
        maps['points'] = maps['points'].where(mask[..., None], math.inf)


def _with_prefix(state: Mapping[str, Tensor], before: str, after: str) -> State:
    return {
        after + key.removeprefix(before) if key.startswith(before) else key: tensor
        for key, tensor in state.items()
    }
