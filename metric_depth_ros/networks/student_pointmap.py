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
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

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
from metric_depth_ros.networks.focal_shift import FocalShift, recover_focal_shift

REPOSITORY = 'yjh001/metricanything_student_pointmap'
FILENAME = 'student_pointmap.pt'

_MODEL_CONFIG_KEYS = (
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
        backbone, taps, dim_out = reading.encoder(model_config)
        scale_head = reading.part(model_config, 'scale_head')  # without it depth has no unit
        return cls(
            backbone=backbone,
            taps=taps,
            dim_out=dim_out,
            neck=reading.stack(model_config, 'neck'),
            points_head=reading.stack(model_config, 'points_head'),
            mask_head=reading.optional_stack(model_config, 'mask_head'),
            normal_head=reading.optional_stack(model_config, 'normal_head'),
            scale_head=reading.integers(scale_head.get('dims'), 'dims of the scale_head'),
            remap_output=reading.choice(model_config, 'remap_output', 'linear', _REMAPS),
            num_tokens_range=reading.num_tokens_range(model_config),
        )

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


class StudentPointMap(nn.Module):
    """MoGe-2: affine points, mask, metric scale and, if so configured, normals.

    Parameters
    ----------
    config
        Its architecture.
    """

    def __init__(self, config: StudentPointMapConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = DinoV2Encoder(config.backbone, config.taps, config.dim_out)
        self.neck = ConvStack(config.neck)
        self.points_head = ConvStack(config.points_head)
        self.mask_head = None if config.mask_head is None else ConvStack(config.mask_head)
        self.normal_head = None if config.normal_head is None else ConvStack(config.normal_head)
        self.scale_head = _perceptron(config.scale_head)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> StudentPointMap:
        """Build the network that a checkpoint describes and load it, on the CPU, for inference.

        Raises
        ------
        InputError
            No ``model_config``, or keys that do not fit it.
        """
        config = StudentPointMapConfig.from_model_config(reading.required_model_config(checkpoint))
        with torch.device('meta'):
            network = cls(config)
        load_strict(network, checkpoint.state)
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
            Patches, about; wins over the level.
        resolution_level
            0 (fast) to 9 (fine), spread over the configured range.
        """
        if num_tokens is None:
            num_tokens = tokens_of_level(resolution_level, self.config.num_tokens_range)
        return token_grid(num_tokens, width, height)

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
        batch = image_batch(image)
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
        return result if image.dim() == 4 else {name: value[0] for name, value in result.items()}

    def from_official(self, state: Mapping[str, Tensor]) -> State:
        """Give the authors' state dict this module's names; unknown keys stay as they are."""
        return translate_parts(state, self._translated_parts(), to_official=False)

    def to_official(self, state: Mapping[str, Tensor]) -> State:
        """Give this module's state dict the authors' names and shapes."""
        return translate_parts(state, self._translated_parts(), to_official=True)

    def _translated_parts(self) -> dict[str, Backbone]:
        return {'encoder.backbone.': self.encoder.backbone}


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
        points = project_back(depth, intrinsics)
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
    if apply_mask:
        for name, nothing in (('points', math.inf), ('depth', math.inf), ('normal', 0.0)):
            if name in result:
                keep = mask if name == 'depth' else mask[..., None]
                result[name] = result[name].where(keep, nothing)
    return {**result, 'mask': mask}


def solve_camera(
    points: Tensor, mask: Tensor | None, fov_x_deg: float | Tensor | None
) -> FocalShift:
    """Find the shift of z, and the focal length where no field of view (B,) is known."""
    if fov_x_deg is None:
        return recover_focal_shift(points, mask)
    batch, height, width, _ = points.shape
    half = torch.deg2rad(torch.as_tensor(fov_x_deg, dtype=torch.float32, device=points.device)) / 2
    aspect = width / height
    focal = (aspect / math.sqrt(1 + aspect**2) / half.tan()).expand(batch)
    return recover_focal_shift(points, mask, focal)


def normalized_intrinsics(focal: Tensor, aspect: float) -> Tensor:
    """Return (B, 3, 3) camera matrices in units of the image's width and height."""
    diagonal = math.sqrt(1 + aspect**2)
    intrinsics = torch.zeros(len(focal), 3, 3, device=focal.device)
    intrinsics[:, 0, 0] = focal / 2 * diagonal / aspect
    intrinsics[:, 1, 1] = focal / 2 * diagonal
    intrinsics[:, :2, 2] = 0.5
    intrinsics[:, 2, 2] = 1
    return intrinsics


def project_back(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Return the points (B, H, W, 3) of depth (B, H, W); pixel centers at (i + 0.5) / size."""
    height, width = depth.shape[-2:]
    u = (torch.arange(width, device=depth.device) + 0.5) / width
    v = (torch.arange(height, device=depth.device) + 0.5) / height
    K = intrinsics[:, :, :, None]
    x = (u - K[:, 0, 2]) / K[:, 0, 0]
    y = (v - K[:, 1, 2]) / K[:, 1, 1]
    return torch.stack((depth * x[:, None, :], depth * y[:, :, None], depth), dim=-1)


def _perceptron(widths: Sequence[int]) -> nn.Sequential:
    linears = (nn.Linear(before, after) for before, after in pairwise(widths))
    layers = [layer for linear in linears for layer in (linear, nn.ReLU())]
    return nn.Sequential(*layers[:-1])
