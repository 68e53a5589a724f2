# SPDX-License-Identifier: Apache-2.0
"""What MoGe-2 (Student-PointMap) and LingBot-Depth share beside their decoders.

Imports torch, `errors` and siblings.

Source: Wang et al., "MoGe-2" (2025), and its reference code.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.backbones.dinov2 import DinoV2, DinoV2Config
from metric_depth_ros.networks.checkpoint_files import first_line
from metric_depth_ros.networks.checkpoints import Checkpoint, load_strict
from metric_depth_ros.networks.convstack import LEVELS
from metric_depth_ros.networks.images import IMAGENET
from metric_depth_ros.networks.model_config import required_model_config
from metric_depth_ros.networks.released import ReleasedNetwork
from metric_depth_ros.networks.view_plane import view_plane_uv

HIGHEST_RESOLUTION_LEVEL = 9

Described = TypeVar('Described', bound='MoGeNetwork')

_NOTHING = {'points': math.inf, 'depth': math.inf, 'normal': 0.0}  # where the mask is false


class MoGeEncoder(nn.Module):
    """An image in, one map of projected patches out.

    Parameters
    ----------
    backbone
        Shape of the transformer.
    taps
        Tapped blocks, ascending.
    dim_out
        Channels of the map.
    """

    image_mean: Tensor
    image_std: Tensor

    def __init__(self, backbone: DinoV2Config, taps: Sequence[int], dim_out: int) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.backbone = DinoV2(backbone)
        self.output_projections = nn.ModuleList(
            nn.Conv2d(backbone.embed_dim, dim_out, kernel_size=1) for _ in self.taps
        )
        self.register_buffer('image_mean', torch.tensor(IMAGENET.mean).view(1, 3, 1, 1))
        self.register_buffer('image_std', torch.tensor(IMAGENET.std).view(1, 3, 1, 1))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        """Move and cast, but keep in float32 what the pixels are normalized with."""
        exact = {name: getattr(self, name) for name in ('image_mean', 'image_std')}
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            cast = getattr(self, name)
            if cast.dtype != buffer.dtype:
                setattr(self, name, buffer.to(cast.device))
        return self

    def prepare_image(self, image: Tensor, rows: int, columns: int) -> Tensor:
        """Resize (N, 3, H, W) in [0, 1] to the grid and normalize it, in the network's dtype."""
        patch = self.backbone.patch_size
        size = (rows * patch, columns * patch)
        resized = interpolate(image.float(), size, mode='bilinear', antialias=True)
        normalized = (resized - self.image_mean) / self.image_std
        return normalized.to(self.backbone.norm.weight.dtype)

    def project(self, patches: Iterable[Tensor], rows: int, columns: int) -> Tensor:
        """Sum the projections of the tapped patches (N, rows * columns, C) into one map."""
        projected = [
            convolution(tap.transpose(1, 2).unflatten(2, (rows, columns)).contiguous())
            for convolution, tap in zip(self.output_projections, patches, strict=True)
        ]
        return torch.stack(projected, dim=1).sum(dim=1)

    def forward(self, image: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Return the map (N, dim_out, rows, columns) and the class token (N, C) of images."""
        _, raw = self.backbone(self.prepare_image(image, rows, columns), self.taps)
        taps = [self.backbone.norm(tokens) for tokens in raw]
        return self.project((tap[:, 1:] for tap in taps), rows, columns), taps[-1][:, 0]


class MoGeNetwork(ReleasedNetwork, ABC):
    """A network that works on a grid of patches, and whose checkpoint tells its architecture.

    Parameters
    ----------
    num_tokens_range
        Image patches at resolution level 0 and at the highest.
    """

    def __init__(self, num_tokens_range: tuple[int, int]) -> None:
        super().__init__()
        self._num_tokens_range = num_tokens_range

    @classmethod
    @abstractmethod
    def from_model_config(cls: type[Described], model_config: Mapping[str, Any]) -> Described:
        """Build the network with random weights; see `model_config`."""

    @classmethod
    def from_checkpoint(cls: type[Described], checkpoint: Checkpoint) -> Described:
        """Build the network that a checkpoint describes and load it, on the CPU, for inference.

        Raises
        ------
        InputError
            No ``model_config``, one of no network that works, or keys that do not fit it.
        """
        model_config = required_model_config(checkpoint)
        try:
            with torch.device('meta'), torch.no_grad():
                network = cls.from_model_config(model_config)
                network.try_out()
        except InputError:
            raise
        except Exception as error:  # what torch makes of wrong values has no common base
            raise InputError(
                'checkpoint_config',
                f'the model_config of {checkpoint.path} is of no network that works: '
                f'{first_line(error)}.',
            ) from error
        load_strict(network, checkpoint.state)
        return network.eval()

    @abstractmethod
    def try_out(self) -> None:
        """Run on one patch: on the meta device, this tells parts that do not fit each other."""

    def token_grid(
        self,
        width: int,
        height: int,
        *,
        num_tokens: int | None = None,
        resolution_level: float = HIGHEST_RESOLUTION_LEVEL,
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
            num_tokens = tokens_of_level(resolution_level, self._num_tokens_range)
        return token_grid(num_tokens, width, height)


def neck_inputs(features: Tensor, aspect: float) -> list[Tensor]:
    """Return what enters the neck: the image plane at all levels, with features at the first.

    Parameters
    ----------
    features
        (N, C, h, w) of the encoder.
    aspect
        Width / height of the image.
    """
    rows, columns = features.shape[-2:]
    planes = [
        view_plane_uv(rows << level, columns << level, aspect, features).expand(
            len(features), -1, -1, -1
        )
        for level in range(LEVELS)
    ]
    return [torch.cat((features, planes[0]), dim=1), *planes[1:]]


def at_image_size(raw: Tensor, height: int, width: int) -> Tensor:
    """Resize the raw output (N, C, h, w) of a head to the image's size, in float32."""
    return interpolate(raw.float(), (height, width), mode='bilinear')


def token_grid(num_tokens: int, width: int, height: int) -> tuple[int, int]:
    """Return (rows, columns) of about `num_tokens` patches with the aspect of the image."""
    aspect = width / height
    rows, columns = math.sqrt(num_tokens / aspect), math.sqrt(num_tokens * aspect)
    return max(1, round(rows)), max(1, round(columns))


def tokens_of_level(resolution_level: float, num_tokens_range: tuple[int, int]) -> int:
    """Return the number of patches at a resolution level from 0 (fast) to 9 (fine)."""
    fewest, most = num_tokens_range
    return int(fewest + resolution_level / HIGHEST_RESOLUTION_LEVEL * (most - fewest))


def mask_out(maps: Mapping[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
    """Return the maps (B, H, W, ...) with +Inf (normals: 0) where the mask (B, H, W) is false."""
    masked = dict(maps)
    for name in _NOTHING.keys() & maps.keys():
        keep = mask if maps[name].ndim == mask.ndim else mask[..., None]
        masked[name] = maps[name].where(keep, _NOTHING[name])
    return masked
