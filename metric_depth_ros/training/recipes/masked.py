# SPDX-License-Identifier: Apache-2.0
"""Masked depth modeling: image and incomplete depth in, complete depth out (LingBot-Depth).

Depth comes from a recorded depth camera, or from a simulated one, which fails where the image is
hard, or is the truth with noise; most of its patches are then masked (`patch_masks`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from metric_depth_ros.networks.lingbot_depth import (
    MODEL_CONFIG_KEYS,
    LingBotDepth,
    LingBotDepthConfig,
)
from metric_depth_ros.networks.moge import token_grid
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.simulation.photography import random_noise, spoil
from metric_depth_ros.simulation.sensors.policy import draw_prompt
from metric_depth_ros.training.config import multiples_of, positive, section_from, within
from metric_depth_ros.training.losses import absolute_error
from metric_depth_ros.training.patch_masks import draw_patch_mask, enlarged
from metric_depth_ros.training.recipes.base import Prepared, Recipe, described_from, freeze
from metric_depth_ros.training.views import random_view, recolored
from metric_depth_ros.types import SparsePrompt

# Simulated depth cameras by how often they are drawn.
_CAMERAS = {'structured_light': 0.5, 'stereo': 0.4, 'time_of_flight': 0.1}
_RECORDED = 'rgbd'  # the sensor of a recorded depth camera
_LEAST_SHARE = 0.02  # of the pixels, with a depth that counts


@dataclass(frozen=True)
class MaskedOptions:
    """Choices of the recipe.

    Attributes
    ----------
    sizes
        (width, height) of the examples of a step.
    num_tokens
        Patches of an image.
    camera_share
        Depth as a camera sees it; the rest is truth with noise.
    noise
        Standard deviation of that noise, relative to the depth.
    farthest_m
        Truth beyond does not count.
    log_error
        Compare logarithms instead of meters, in which far pixels rule.
    """

    sizes: tuple[tuple[int, int], ...] = ((640, 480),)
    num_tokens: int = 3600
    camera_share: float = 0.5
    noise: float = 0.01
    farthest_m: float = 200.0
    log_error: bool = False

    def __post_init__(self) -> None:
        within('num_tokens', self.num_tokens, 1, 1 << 16)
        within('camera_share', self.camera_share, 0.0, 1.0)
        within('noise', self.noise, 0.0, 10.0)
        positive('farthest_m', self.farthest_m)
        multiples_of('sizes', self.sizes, 1)


class MaskedRecipe(Recipe):
    """Trains a `LingBotDepth`.

    Parameters
    ----------
    described
        Its ``model_config``; empty for the released architecture.
    options
        Choices.
    where
        Names the configuration in errors.
    """

    # The authors' backbone holds the embedding of depth patches; its weights learn at one rate.
    backbone_prefixes: tuple[str, ...] = ('encoder.backbone.', 'encoder.depth_patch_embed.')

    def __init__(self, described: Mapping[str, Any], options: MaskedOptions, where: str) -> None:
        super().__init__(options)
        read = LingBotDepthConfig.from_model_config
        self._config = (
            described_from(read, described, MODEL_CONFIG_KEYS, f'{where}: network')
            if described
            else LingBotDepthConfig.released()
        )
        self._options = options

    def build(self) -> nn.Module:
        """Return the network; its mask has no loss and stays as it is: at first, all is seen."""
        network = LingBotDepth(self._config)
        if network.mask_head is not None:
            _let_through(network.mask_head.output_blocks[-1])
        freeze(network, 'mask_token', 'mask_head.')
        return network

    def model_config(self) -> dict[str, Any]:
        """Return the shape of the network."""
        return self._config.as_model_config()

    def prepare(
        self,
        example: Example,
        size: tuple[int, int] | None,
        rng: np.random.Generator,
        *,
        real: bool,
        augment: bool,
    ) -> Prepared | None:
        """Draw window, depth camera and mask."""
        recorded = _recorded_map(example)
        if size is not None:
            if recorded is not None:
                recorded = _same_view(example, recorded, size, rng, mirror=augment)
            example = random_view(example, size, rng, mirror=augment)
        counts = np.isfinite(example.depth) & (example.depth <= self._options.farthest_m)
        if counts.mean() < _LEAST_SHARE:
            return None
        height, width = example.depth.shape
        rows, columns = token_grid(self._options.num_tokens, width, height)
        patch = self._config.backbone.patch_size
        seen = cv2.resize(
            self._seen(example, recorded, rng),
            (columns * patch, rows * patch),
            interpolation=cv2.INTER_NEAREST,
        )
        masked = draw_patch_mask(seen > 0.0, patch, rng)
        seen[enlarged(masked, patch)] = 0.0
        image = example.image
        if augment:
            image = recolored(image, rng)
            if real:  # rendered ones were taken with noise
                image = spoil(image, rng, random_noise(rng))
        arrays = {
            'image': np.ascontiguousarray(image.transpose(2, 0, 1)),
            'depth': seen,
            'truth': np.ascontiguousarray(example.depth, np.float32),
            'grid': np.array((rows, columns)),
        }
        return Prepared(example, _points(seen, width, height), arrays)

    def losses(self, network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the error of depth over all pixels that have a truth."""
        depth = self._answer(network, batch)
        truth: Tensor = batch['truth']
        mask = truth.isfinite() & (truth > 0) & (truth <= self._options.farthest_m)
        truth = truth.where(mask, 1.0)
        compared = (depth.log(), truth.log()) if self._options.log_error else (depth, truth)
        return {'loss': absolute_error(*compared, mask).nanmean()}

    def predict(self, network: nn.Module, batch: Mapping[str, Any]) -> list[NDArray[np.float32]]:
        """Return depth in the size of the images."""
        return list(self._answer(network, batch).cpu().numpy())

    def _answer(self, network: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        rows, columns = batch['grid'][0].tolist()
        maps = network(batch['image'].float() / 255.0, batch['depth'], (rows, columns))
        return cast(Tensor, maps['depth'].float())

    def _seen(
        self, example: Example, recorded: NDArray[np.float32] | None, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return (H, W) measured depth, 0 where there is none."""
        height, width = example.depth.shape
        if recorded is not None:
            seen = recorded
        elif rng.random() < self._options.camera_share:
            seen = draw_prompt(example, rng, _CAMERAS).to_map(width, height)
        else:
            noise = 1.0 + self._options.noise * rng.standard_normal(example.depth.shape)
            seen = example.depth * noise.astype(np.float32)
        seen = np.nan_to_num(seen, nan=0.0, posinf=0.0)
        return np.where(seen <= self._options.farthest_m, seen, 0.0).astype(np.float32)


def _let_through(mask: nn.Module) -> None:
    """Make a layer that answers with a mask true everywhere, whatever enters it."""
    for name, parameter in mask.named_parameters():
        nn.init.constant_(parameter, 1.0 if name == 'bias' else 0.0)


def _recorded_map(example: Example) -> NDArray[np.float32] | None:
    """Return what a depth camera recorded at the size of the image, None where there is none."""
    measured = example.sensors.get(_RECORDED)
    height, width = example.depth.shape
    return None if measured is None else measured.to_map(width, height)


def _same_view(
    example: Example,
    recorded: NDArray[np.float32],
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    mirror: bool,
) -> NDArray[np.float32]:
    """Return a map in the view that `rng` draws next, which stays as it is.

    The points of the map, moved into an enlarged view, would leave holes between them.
    """
    measured = replace(example, depth=recorded, sensors={})
    return random_view(measured, size, copy.deepcopy(rng), mirror=mirror).depth


def _points(seen: NDArray[np.float32], width: int, height: int) -> SparsePrompt:
    """Return what is left of the measured depth, as it is pictured."""
    row, column = np.nonzero(seen)
    uv = np.stack(
        ((column + 0.5) * width / seen.shape[1], (row + 0.5) * height / seen.shape[0]), axis=-1
    )
    depth = seen[row, column]
    nothing = np.zeros(len(depth), np.float32)
    return SparsePrompt(
        (uv - 0.5).astype(np.float32), depth, nothing, np.zeros(len(depth), np.uint8)
    )


def create(network: Mapping[str, Any], options: Mapping[str, Any], where: str) -> MaskedRecipe:
    """Make the recipe of plain values."""
    chosen = section_from(MaskedOptions, options, f'{where}: options')
    return MaskedRecipe(network, chosen, where)
