# SPDX-License-Identifier: Apache-2.0
"""Student-PointMap: MetricAnything's fine-tuned MoGe-2, and MoGe-2 itself.

An image in; a metric point map, its mask, the camera and, in the normal variant, normals out.
Everything about the architecture is read from the checkpoint's own ``model_config``. Imports
torch, `errors` and its siblings.

Source: "MetricAnything" (2026); Wang et al., "MoGe-2" (2025), and their reference code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from metric_depth_ros.networks import model_config as reading
from metric_depth_ros.networks.backbones.dinov2 import DinoV2Config, named_config
from metric_depth_ros.networks.convstack import ConvStack, ConvStackConfig, moge_head, moge_neck
from metric_depth_ros.networks.focal_shift import FocalShift, recover_focal_shift
from metric_depth_ros.networks.images import batched, unit_range
from metric_depth_ros.networks.moge import (
    HIGHEST_RESOLUTION_LEVEL,
    MoGeEncoder,
    MoGeNetwork,
    at_image_size,
    mask_out,
    neck_inputs,
)
from metric_depth_ros.networks.view_plane import normalized_intrinsics, project_back

MODEL_CONFIG_KEYS = (
    'encoder',
    'neck',
    'points_head',
    'mask_head',
    'normal_head',
    'scale_head',
    'remap_output',
    'num_tokens_range',
)
_REMAPS: Mapping[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    'exp': lambda xy, z: (xy * z.exp(), z.exp()),
    'linear': lambda xy, z: (xy, z),
    'sinh': lambda xy, z: (xy.sinh(), z.sinh()),
    'sinh_exp': lambda xy, z: (xy.sinh(), z.exp()),
}


@dataclass(frozen=True)
class StudentPointMapConfig:
    """Architecture of a MoGe-2.

    Parameters
    ----------
    backbone
        Its vision transformer.
    taps
        Tapped blocks, ascending.
    dim_out
        Channels of the encoder's map.
    neck, points_head, mask_head, normal_head
        Its decoders; a head may be None.
    scale_head
        Widths of the perceptron that tells the metric scale.
    remap_output
        What makes points of the raw output.
    num_tokens_range
        Patches at resolution level 0 and at the highest.
    """

    backbone: DinoV2Config
    taps: tuple[int, ...]
    dim_out: int
    neck: ConvStackConfig
    points_head: ConvStackConfig
    mask_head: ConvStackConfig | None
    normal_head: ConvStackConfig | None
    scale_head: tuple[int, ...]
    remap_output: str = 'exp'
    num_tokens_range: tuple[int, int] = (1200, 3600)

    @classmethod
    def from_model_config(cls, model_config: Mapping[str, Any]) -> StudentPointMapConfig:
        """Read the arguments of the authors' class; unknown ones are reported and ignored.

        The backbone of the encoder may also be a dict of the fields of `DinoV2Config`. Raises
        `InputError` naming the part that is missing or cannot be built.
        """
        reading.report_unknown_keys(model_config, MODEL_CONFIG_KEYS)
        backbone, taps, dim_out = reading.encoder(model_config)
        return cls(
            backbone=backbone,
            taps=taps,
            dim_out=dim_out,
            neck=reading.stack(model_config, 'neck'),
            points_head=reading.stack(model_config, 'points_head', 3),
            mask_head=reading.optional_stack(model_config, 'mask_head', 1),
            normal_head=reading.optional_stack(model_config, 'normal_head', 3),
            scale_head=reading.perceptron(model_config, 'scale_head'),  # makes the depth metric
            remap_output=reading.choice(model_config, 'remap_output', 'linear', _REMAPS),
            num_tokens_range=reading.num_tokens_range(model_config),
        )

    def as_model_config(self) -> dict[str, Any]:
        """Return all arguments of the authors' class, which `from_model_config` reads."""
        heads = {
            name: None if stack is None else reading.stack_described(stack)
            for name, stack in (
                ('points_head', self.points_head),
                ('mask_head', self.mask_head),
                ('normal_head', self.normal_head),
            )
        }
        return {
            'encoder': {
                'backbone': reading.backbone_described(self.backbone),
                'intermediate_layers': list(self.taps),
                'dim_out': self.dim_out,
            },
            'neck': reading.stack_described(self.neck),
            **heads,
            'scale_head': {'dims': list(self.scale_head)},
            'remap_output': self.remap_output,
            'num_tokens_range': list(self.num_tokens_range),
        }

    @classmethod
    def released(cls, *, normals: bool = False) -> StudentPointMapConfig:
        """Return the released architecture; with `normals`, that of MoGe-2 ViT-L normal."""
        return cls(
            backbone=named_config('dinov2_vitl14'),
            taps=(5, 11, 17, 23),
            dim_out=1024,
            neck=moge_neck(),
            points_head=moge_head(3),
            mask_head=moge_head(1),
            normal_head=moge_head(3) if normals else None,
            scale_head=(1024, 1024, 1024, 1),
        )


class StudentPointMap(MoGeNetwork):
    """MoGe-2: affine points, mask, metric scale and, if so configured, normals.

    Parameters
    ----------
    config
        Its architecture.
    """

    low_precision = 'fp16'  # as its authors run it: bf16 is eight times as coarse

    def __init__(self, config: StudentPointMapConfig) -> None:
        super().__init__(config.num_tokens_range)
        self.config = config
        self.encoder = MoGeEncoder(config.backbone, config.taps, config.dim_out)
        self.neck = ConvStack(config.neck)
        self.points_head = ConvStack(config.points_head)
        self.mask_head = None if config.mask_head is None else ConvStack(config.mask_head)
        self.normal_head = None if config.normal_head is None else ConvStack(config.normal_head)
        self.scale_head = _perceptron(config.scale_head)

    @classmethod
    def from_model_config(cls, model_config: Mapping[str, Any]) -> StudentPointMap:
        """Build the network with random weights; see `StudentPointMapConfig`."""
        return cls(StudentPointMapConfig.from_model_config(model_config))

    def try_out(self) -> None:
        """Run on one patch."""
        patch = self.config.backbone.patch_size
        self(torch.zeros(1, 3, patch, patch), (1, 1))

    def forward(self, image: Tensor, grid: tuple[int, int]) -> dict[str, Tensor]:
        """Predict maps of the image's size; shapes depend on the arguments' shapes only.

        Parameters
        ----------
        image
            (B, 3, H, W) RGB in [0, 1].
        grid
            Rows and columns of patches to work at.

        Returns
        -------
        dict
            ``points`` (B, H, W, 3) up to scale and shift of z; ``mask`` (B, H, W) probability
            (with a mask head); ``normal`` (B, H, W, 3) unit (with a normal head);
            ``metric_scale`` (B,). All float32.
        """
        height, width = image.shape[-2:]
        features, class_token = self.encoder(image, *grid)
        # A training in bf16 leaves the decoders alone: it would round the steps from pixel to
        # pixel away, and a loss of their angles would have gradients of nothing but rounding.
        with _of_own_precision(image.device.type):
            own = self.scale_head[0].weight.dtype
            return self._decoded(features.to(own), class_token.to(own), height, width)

    def _decoded(
        self, features: Tensor, class_token: Tensor, height: int, width: int
    ) -> dict[str, Tensor]:
        pyramid = self.neck(neck_inputs(features, width / height))
        xy, z = _REMAPS[self.config.remap_output](
            *at_image_size(self.points_head(pyramid)[-1], height, width).split([2, 1], dim=1)
        )
        maps = {
            'points': torch.cat((xy, z), dim=1).permute(0, 2, 3, 1),
            'metric_scale': self.scale_head(class_token).squeeze(1).float().exp(),
        }
        if self.mask_head is not None:
            raw = at_image_size(self.mask_head(pyramid)[-1], height, width)
            maps['mask'] = raw.squeeze(1).sigmoid()
        if self.normal_head is not None:
            raw = at_image_size(self.normal_head(pyramid)[-1], height, width)
            maps['normal'] = normalize(raw.permute(0, 2, 3, 1), dim=-1)
        return maps

    def infer(
        self,
        image: Tensor,
        *,
        fov_x_deg: float | Tensor | None = None,
        num_tokens: int | None = None,
        resolution_level: int = HIGHEST_RESOLUTION_LEVEL,
        force_projection: bool = True,
        apply_mask: bool = True,
    ) -> dict[str, Tensor]:
        """Predict metric depth, points and camera, as the authors' ``infer`` does.

        Parameters
        ----------
        image
            (B, 3, H, W) or (3, H, W) RGB, uint8 or float in [0, 1].
        fov_x_deg
            Horizontal field of view, one for all or (B,); recovered from the points when None.
        num_tokens, resolution_level
            See `token_grid`.
        force_projection
            Make the points the exact back-projection of the depth.
        apply_mask
            Put +Inf (normals: 0) where the mask is false; sky is masked.

        Returns
        -------
        dict
            ``points`` (B, H, W, 3) m, x right, y down, z forward; ``depth`` (B, H, W) m;
            ``intrinsics`` (B, 3, 3) in units of the image's width and height; ``mask`` (B, H, W)
            bool and ``normal`` (B, H, W, 3) where the network has those heads. Without B when
            `image` had none.
        """
        batch = unit_range(batched(image))
        height, width = batch.shape[-2:]
        grid = self.token_grid(
            width, height, num_tokens=num_tokens, resolution_level=resolution_level
        )
        result = metric_maps(
            self(batch, grid),
            fov_x_deg=fov_x_deg,
            force_projection=force_projection,
            apply_mask=apply_mask,
        )
        return result if image.ndim == 4 else {name: value[0] for name, value in result.items()}


def metric_maps(
    maps: Mapping[str, Tensor],
    *,
    fov_x_deg: float | Tensor | None = None,
    force_projection: bool = True,
    apply_mask: bool = True,
) -> dict[str, Tensor]:
    """Make metric depth, points and camera of what `StudentPointMap.forward` returned.

    See `StudentPointMap.infer`.
    """
    points = maps['points']
    height, width = points.shape[1:3]
    aspect = width / height
    mask = maps['mask'] > 0.5 if 'mask' in maps else None
    focal, shift = solve_camera(points, mask, fov_x_deg)
    intrinsics = normalized_intrinsics(focal, aspect)
    depth = points[..., 2] + shift[:, None, None]
    if mask is not None:
        mask = mask & (depth > 0)
    scale = maps['metric_scale'][:, None, None]
    if force_projection:
        u, v = (
            (torch.arange(count, device=depth.device) + 0.5) / count for count in (width, height)
        )
        points = project_back(depth, intrinsics, u, v)
    else:
        points = torch.cat((points[..., :2], depth[..., None]), dim=-1)
    result = {
        'points': points * scale[..., None],
        'depth': depth * scale,
        'intrinsics': intrinsics,
    }
    if 'normal' in maps:
        result['normal'] = maps['normal']
    if mask is None:
        return result
    return {**(mask_out(result, mask) if apply_mask else result), 'mask': mask}


def solve_camera(
    points: Tensor, mask: Tensor | None, fov_x_deg: float | Tensor | None
) -> FocalShift:
    """Find the shift of z, and the focal length where no field of view is known.

    Parameters
    ----------
    points
        (B, H, W, 3) up to a shift of z.
    mask
        (B, H, W) bool of the points that count, or None for all.
    fov_x_deg
        Horizontal field of view, one for all or (B,).
    """
    if fov_x_deg is None:
        return recover_focal_shift(points, mask)
    batch, height, width, _ = points.shape
    half = torch.deg2rad(torch.as_tensor(fov_x_deg, dtype=torch.float32, device=points.device)) / 2
    aspect = width / height
    focal = (aspect / math.sqrt(1 + aspect**2) / half.tan()).expand(batch)
    return recover_focal_shift(points, mask, focal)


def _of_own_precision(device_type: str) -> AbstractContextManager[None]:
    """Return what keeps automatic casts out, of nothing where there are none: exports trace it."""
    if torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def _perceptron(widths: Sequence[int]) -> nn.Sequential:
    linears = (nn.Linear(before, after) for before, after in pairwise(widths))
    layers = [layer for linear in linears for layer in (linear, nn.ReLU())]
    return nn.Sequential(*layers[:-1])
