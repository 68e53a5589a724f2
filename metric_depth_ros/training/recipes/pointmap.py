# SPDX-License-Identifier: Apache-2.0
"""Student-PointMap, a MoGe-2: points of one image up to scale and shift of z, mask, metric scale.

Its labels are P = D K^-1 [u, v, 1] of whatever depth the examples have, rendered or written by
``pseudo-label``. The losses are MoGe-2's, which trusts labels by what made them. Depth that is
rendered or a teacher's has all of them, as MoGe-2's dense and sharp labels (type A). Depth that a
sensor measured (`real`) has those of its LiDAR (type C), without edges and the smaller patches: no
source tells a LiDAR from a depth camera (type B).

Source: MetricAnything, sections 4.2.1 and 7.3; Wang et al., "MoGe-2" (2025), and its reference
code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.moge import token_grid
from metric_depth_ros.networks.student_pointmap import (
    MODEL_CONFIG_KEYS,
    StudentPointMap,
    StudentPointMapConfig,
    metric_maps,
)
from metric_depth_ros.networks.view_plane import project_back
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.simulation.photography import random_noise, spoil
from metric_depth_ros.training.config import positive, section_from, within
from metric_depth_ros.training.point_losses import (
    edge_loss,
    global_loss,
    local_loss,
    scale_loss,
    surface_loss,
)
from metric_depth_ros.training.point_patches import anchor_weights, draw_anchors
from metric_depth_ros.training.recipes.base import Prepared, Recipe, described_from, freeze
from metric_depth_ros.training.turned_views import turned_view
from metric_depth_ros.training.views import recolored
from metric_depth_ros.types import SparsePrompt

_LEAST_SHARE = 0.001  # of the pixels, with a depth
_NEAR, _FARTHEST = 0.01, 1000.0  # depth counts up to so many times its lowest percentile
_LARGEST_VIEW_PX, _SLIMMEST = 1 << 24, 16.0
_MOST_SAMPLES, _MOST_PATCHES, _HIGHEST_LEVEL = 128, 1 << 16, 1 << 10
_SEEDS = 1 << 31


@dataclass(frozen=True)
class PointMapOptions:
    """Choices of the recipe.

    Attributes
    ----------
    view_px
        Fewest and most pixels of the views of a step.
    aspect
        Least and largest width / height of the views of a step.
    samples
        A side of the grid of samples that the points of an image are aligned by.
    patches
        Of the local losses: level (1 / level is their size, relative to the image), patches of an
        image, and a side of the grid of samples that a patch is aligned by. Depth that is `real`
        has the first of them only.
    global_weight, local_weight, edge_weight, scale_weight, mask_weight
        Of the error of points, of that at every level of patches, of the angles of edges, of the
        logarithm of the metric scale, and of telling surfaces from sky.
    """

    view_px: tuple[int, int] = (250_000, 1_000_000)
    aspect: tuple[float, float] = (0.5, 2.0)
    samples: int = 48
    patches: tuple[tuple[int, int, int], ...] = ((4, 16, 24), (16, 256, 12), (64, 4096, 6))
    global_weight: float = 1.0
    local_weight: float = 1.0
    edge_weight: float = 1.0
    scale_weight: float = 0.1
    mask_weight: float = 0.1

    def __post_init__(self) -> None:
        within('view_px[0]', self.view_px[0], 1, _LARGEST_VIEW_PX)
        within('view_px[1]', self.view_px[1], self.view_px[0], _LARGEST_VIEW_PX)
        positive('aspect[0]', self.aspect[0], _SLIMMEST)
        within('aspect[1]', self.aspect[1], self.aspect[0], _SLIMMEST)
        within('samples', self.samples, 2, _MOST_SAMPLES)
        for number, (level, count, samples) in enumerate(self.patches):
            within(f'level of patches[{number}]', level, 1, _HIGHEST_LEVEL)
            within(f'count of patches[{number}]', count, 1, _MOST_PATCHES)
            within(f'samples of patches[{number}]', samples, 2, _MOST_SAMPLES)
        for name in ('global', 'local', 'edge', 'scale', 'mask'):
            within(f'{name}_weight', getattr(self, f'{name}_weight'), 0.0, 1e6)


class PointMapRecipe(Recipe):
    """Trains a `StudentPointMap`.

    Parameters
    ----------
    described
        Its ``model_config``; empty for the released architecture.
    options
        Choices.
    where
        Names the configuration in errors.
    """

    backbone_prefixes: tuple[str, ...] = ('encoder.backbone.',)
    unused_prefixes: tuple[str, ...] = ('normal_head.',)
    learns_without_scale = True  # all but the metric scale

    def __init__(self, described: Mapping[str, Any], options: PointMapOptions, where: str) -> None:
        super().__init__(options)
        read = StudentPointMapConfig.from_model_config
        self._config = (
            described_from(read, described, MODEL_CONFIG_KEYS, f'{where}: network')
            if described
            else StudentPointMapConfig.released()
        )
        if self._config.normal_head is not None:
            raise InputError(
                'training_config',
                f'{where}: network: normal_head is given, expected none: the recipe pointmap has '
                'no loss on normals. Leave it out; those in start_from are then left out, too.',
            )
        self._options = options

    def build(self) -> nn.Module:
        """Return the network."""
        network = StudentPointMap(self._config)
        freeze(network, 'mask_token')
        return network

    def model_config(self) -> dict[str, Any]:
        """Return the shape of the network."""
        return self._config.as_model_config()

    def view_size(self, rng: np.random.Generator) -> tuple[int, int]:
        """Return the (width, height) of a step: area and aspect are drawn evenly."""
        area, aspect = rng.uniform(*self._options.view_px), rng.uniform(*self._options.aspect)
        return max(2, int((area * aspect) ** 0.5)), max(2, int((area / aspect) ** 0.5))

    def drawn_for_step(self, rng: np.random.Generator) -> Mapping[str, Any]:
        """Return how many patches the network works on."""
        fewest, most = self._config.num_tokens_range
        return {'num_tokens': rng.integers(fewest, most + 1)}

    def prepare(
        self,
        example: Example,
        size: tuple[int, int] | None,
        rng: np.random.Generator,
        *,
        real: bool,
        augment: bool,
    ) -> Prepared | None:
        """Draw a view, whose optical axis is in its middle."""
        if size is not None:
            example = turned_view(example, size, rng, mirror=augment)
        depth = np.ascontiguousarray(example.depth, np.float32)
        known = np.isfinite(depth) & (depth > 0.0)
        if known.mean() < _LEAST_SHARE:
            return None
        farthest = _FARTHEST * np.quantile(depth[known], _NEAR)
        image = example.image
        if augment:
            image = recolored(image, rng)
            if real:  # rendered ones were taken with noise
                image = spoil(image, rng, random_noise(rng))
        arrays = {
            'image': np.ascontiguousarray(image.transpose(2, 0, 1)),
            'depth': np.where(known, np.minimum(depth, np.float32(farthest)), depth),
            'K': example.camera.K.astype(np.float32),
            'real': np.bool_(real),
            'metric': np.bool_(example.metric),
            'seed': rng.integers(_SEEDS),
        }
        return Prepared(replace(example, sensors={}), SparsePrompt.empty(), arrays)

    def losses(self, network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the losses of points, patches, edges, scale and mask, by their weights.

        An image that has no part of them counts with 0 in it: `real` ones in edges, those whose
        unit is unknown in scale.
        """
        maps = self._answer(network, batch)
        depth: Tensor = batch['depth']
        mask = depth.isfinite() & (depth > 0.0)
        truth = _points(depth.where(mask, 1.0), batch['K'])
        points, rendered = maps['points'], ~batch['real']
        whole = global_loss(points, truth, mask, self._options.samples)
        parts = {
            'global': whole.loss,
            'local': self._local(points, truth, mask, whole.scale, batch),
            'edge': edge_loss(points, truth, mask).where(rendered, 0.0),
            'scale': scale_loss(maps['metric_scale'], whole.scale).where(batch['metric'], 0.0),
        }
        if 'mask' in maps:
            parts['mask'] = surface_loss(maps['mask'], mask, depth.isposinf())
        means = {name: part.mean() for name, part in parts.items()}
        total = sum(getattr(self._options, f'{name}_weight') * means[name] for name in means)
        return {'loss': torch.as_tensor(total), **means}

    def predict(self, network: nn.Module, batch: Mapping[str, Any]) -> list[NDArray[np.float32]]:
        """Return depth by the true focal length, also where the network sees sky."""
        width = batch['depth'].shape[-1]
        fov_x_deg = torch.rad2deg(2.0 * torch.atan(0.5 * width / batch['K'][:, 0, 0]))
        metric = metric_maps(self._answer(network, batch), fov_x_deg=fov_x_deg, apply_mask=False)
        return list(metric['depth'].cpu().numpy())

    def _answer(self, network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the network's maps: of as many patches as its step has, else of the most."""
        height, width = batch['depth'].shape[1:]
        drawn = batch.get('num_tokens')
        tokens = self._config.num_tokens_range[1] if drawn is None else int(drawn[0])
        maps = network(batch['image'].float() / 255.0, token_grid(tokens, width, height))
        return {name: value.float() for name, value in maps.items()}

    def _local(
        self,
        points: Tensor,
        truth: Tensor,
        mask: Tensor,
        scale: Tensor,
        batch: Mapping[str, Any],
    ) -> Tensor:
        """Return the sum of the local losses over the levels, (B,)."""
        total = torch.zeros_like(scale)
        extent = _extent(batch['K'], *mask.shape[1:])
        everyone = torch.arange(len(mask), device=mask.device)
        sharp = everyone[~batch['real']]
        for number, (level, count, samples) in enumerate(self._options.patches):
            chosen = sharp if number else everyone
            if not len(chosen):
                break
            known, counted, wide = truth[chosen], mask[chosen], extent[chosen]
            # Every level of every image has a seed of its own.
            seeds = [seed + number for seed in batch['seed'][chosen].tolist()]
            weights = anchor_weights(known, counted, wide, level)
            loss = local_loss(
                points[chosen],
                known,
                counted,
                draw_anchors(weights, count, seeds),
                extent=wide,
                scale=scale[chosen],
                level=level,
                samples=samples,
            )
            total = total.index_add(0, chosen, loss)
        return total


def _points(depth: Tensor, K: Tensor) -> Tensor:
    """Return the points (B, H, W, 3) of depth seen by pinholes."""
    height, width = depth.shape[1:]
    u, v = (torch.arange(side, dtype=depth.dtype, device=depth.device) for side in (width, height))
    return project_back(depth, K, u, v)


def _extent(K: Tensor, height: int, width: int) -> Tensor:
    """Return the diagonal of images at a depth of 1, (B,)."""
    return torch.hypot(width / K[:, 0, 0], height / K[:, 1, 1])


def create(network: Mapping[str, Any], options: Mapping[str, Any], where: str) -> PointMapRecipe:
    """Make the recipe of plain values."""
    chosen = section_from(PointMapOptions, options, f'{where}: options')
    return PointMapRecipe(network, chosen, where)
