# SPDX-License-Identifier: Apache-2.0
"""LingBot-Depth: metric depth from an image and an incomplete depth map, by masked modeling.

Patches of measured depth enter the transformer as tokens beside those of the image; patches
without a measurement stay out. Everything about the architecture is read from the checkpoint's
own ``model_config``. Imports torch, `errors` and its siblings.

Source: "LingBot-Depth: Masked Depth Modeling" (2026) and its reference code.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks import model_config as reading
from metric_depth_ros.networks.backbones.dinov2 import DinoV2Config, named_config
from metric_depth_ros.networks.checkpoint_files import listed
from metric_depth_ros.networks.checkpoints import Checkpoint
from metric_depth_ros.networks.convstack import ConvStack, ConvStackConfig, moge_head, moge_neck
from metric_depth_ros.networks.depth_tokens import ImageDepthEncoder
from metric_depth_ros.networks.images import batched, unit_range
from metric_depth_ros.networks.key_names import State, with_renamed_keys
from metric_depth_ros.networks.moge import (
    HIGHEST_RESOLUTION_LEVEL,
    MoGeNetwork,
    at_image_size,
    mask_out,
    neck_inputs,
)
from metric_depth_ros.networks.view_plane import project_back

_LOGGER = logging.getLogger(__name__)

_DEPTH_EMBEDDING = 'encoder.backbone.depth_patch_embed.'
_EMBEDDING_HERE = 'encoder.depth_patch_embed.'
_OTHER_DEPTH_EMBEDDING = 'encoder.backbone.depth_mask_patch_embed.'
# The authors' class is given these and never builds them.
_NEVER_BUILT = ('normal_head.', 'scale_head.', 'encoder.backbone.mask_token_mae')

MODEL_CONFIG_KEYS = (
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
        """Read the arguments of the authors' class; unknown ones are reported and ignored.

        The backbone of the encoder may also be a dict of the fields of `DinoV2Config`. Raises
        `InputError` naming the part that is missing or cannot be built.
        """
        reading.report_unknown_keys(model_config, MODEL_CONFIG_KEYS)
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
            depth_head=reading.stack(model_config, 'depth_head', 1),
            mask_head=reading.optional_stack(model_config, 'mask_head', 1),
            remap_depth_in=reading.choice(
                model_config, 'remap_depth_in', 'log', ('log', 'linear')
            ),
            remap_depth_out=reading.choice(
                model_config, 'remap_depth_out', 'exp', ('exp', 'linear')
            ),
            num_tokens_range=reading.num_tokens_range(model_config),
        )

    def as_model_config(self) -> dict[str, Any]:
        """Return all arguments of the authors' class, which `from_model_config` reads."""
        mask_head = self.mask_head
        return {
            'encoder': {
                'backbone': reading.backbone_described(self.backbone),
                'intermediate_layers': list(self.taps),
                'dim_out': self.backbone.embed_dim,
                'img_depth_fuse_mode': 'cat_token',
                'depth_emb_mode': 'conv_1c',
            },
            'neck': reading.stack_described(self.neck),
            'depth_head': reading.stack_described(self.depth_head),
            'mask_head': None if mask_head is None else reading.stack_described(mask_head),
            'remap_depth_in': self.remap_depth_in,
            'remap_depth_out': self.remap_depth_out,
            'num_tokens_range': list(self.num_tokens_range),
        }

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


class LingBotDepth(MoGeNetwork):
    """LingBot-Depth: image and incomplete depth in, complete metric depth and mask out.

    Parameters
    ----------
    config
        Its architecture.
    """

    def __init__(self, config: LingBotDepthConfig) -> None:
        super().__init__(config.num_tokens_range)
        self.config = config
        self.encoder = ImageDepthEncoder(
            config.backbone, config.taps, log_depth=config.remap_depth_in == 'log'
        )
        self.neck = ConvStack(config.neck)
        self.depth_head = ConvStack(config.depth_head)
        self.mask_head = None if config.mask_head is None else ConvStack(config.mask_head)

    @classmethod
    def from_model_config(cls, model_config: Mapping[str, Any]) -> LingBotDepth:
        """Build the network with random weights; see `LingBotDepthConfig`."""
        return cls(LingBotDepthConfig.from_model_config(model_config))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> LingBotDepth:
        """Build and load as `MoGeNetwork.from_checkpoint`, from what `usable_state` leaves."""
        state, dropped = usable_state(checkpoint.state)
        if dropped:
            _LOGGER.warning('%s: not used by the network: %s', checkpoint.path, listed(dropped))
        return super().from_checkpoint(replace(checkpoint, state=state))

    def try_out(self) -> None:
        """Run on one patch, with all of its tokens whatever their values."""
        patch = self.config.backbone.patch_size
        self(
            torch.zeros(1, 3, patch, patch), torch.ones(1, patch, patch), (1, 1), fixed_length=True
        )

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
        images = unit_range(batched(image))
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
            maps['points'] = _points(maps['depth'], intrinsics.expand(len(images), 3, 3))
        if 'mask' in maps:
            maps['mask'] = maps['mask'] > 0.5
            if apply_mask:
                maps = mask_out(maps, maps['mask'])
        return maps if image.ndim == 4 else {name: value[0] for name, value in maps.items()}

    def from_official(self, state: State) -> dict[str, Tensor]:
        """Give the authors' state dict this module's names; unknown keys stay as they are."""
        return super().from_official(with_renamed_keys(state, {_DEPTH_EMBEDDING: _EMBEDDING_HERE}))

    def to_official(self, state: State) -> dict[str, Tensor]:
        """Give this module's state dict the authors' names and shapes."""
        return with_renamed_keys(super().to_official(state), {_EMBEDDING_HERE: _DEPTH_EMBEDDING})


def usable_state(state: State) -> tuple[State, list[str]]:
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
    kept = {key: tensor for key, tensor in state.items() if not key.startswith(_NEVER_BUILT)}
    return with_renamed_keys(kept, {spelled[0]: _DEPTH_EMBEDDING}), dropped


def _points(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Return the points (B, H, W, 3) m of depth (B, H, W) m; pixel centers at whole numbers.

    Parameters
    ----------
    depth
        Along the optical axis.
    intrinsics
        (B, 3, 3) in units of the image's width and height.
    """
    height, width = depth.shape[-2:]
    u = torch.arange(width, device=depth.device, dtype=depth.dtype)
    v = torch.arange(height, device=depth.device, dtype=depth.dtype)
    in_pixels = intrinsics * intrinsics.new_tensor([[width], [height], [1]])
    return project_back(depth, in_pixels, u, v)
