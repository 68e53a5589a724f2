# SPDX-License-Identifier: Apache-2.0
"""Depth tokens: an autoencoder of normalized inverse depth, with a codebook between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from metric_depth_ros.geometry.relative_depth import depth_of, normalized_inverse_depth
from metric_depth_ros.networks.depth_vqvae import DepthVqVae, DepthVqVaeConfig
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.config import section_from, within
from metric_depth_ros.training.recipes.base import Prepared, Recipe
from metric_depth_ros.types import SparsePrompt

_LEAST_SHARE = 0.02  # of the pixels, with a depth


@dataclass(frozen=True)
class DepthTokenOptions:
    """Choices of the recipe.

    Attributes
    ----------
    codebook_weight, commitment_weight
        Of the codebook's distance to the code, and of the code's to the codebook.
    """

    codebook_weight: float = 1.0
    commitment_weight: float = 0.25

    def __post_init__(self) -> None:
        for name in ('codebook_weight', 'commitment_weight'):
            within(name, getattr(self, name), 0.0, 1e6)


class DepthTokenRecipe(Recipe):
    """Trains a `DepthVqVae`."""

    learns_without_scale = True  # of each image normalized by itself

    def __init__(self, config: DepthVqVaeConfig, options: DepthTokenOptions) -> None:
        super().__init__(options)
        self._config = config
        self._options = options

    def build(self) -> nn.Module:
        """Return the network."""
        return DepthVqVae(self._config)

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
        """Normalize the depth and stretch it; mirrored at random."""
        if np.isfinite(example.depth).mean() < _LEAST_SHARE:
            return None
        image, low, high = normalized_inverse_depth(example.depth)
        if augment and rng.random() < 0.5:
            image = image[:, ::-1]
        side = self._config.side
        small = cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=cv2.INTER_AREA)
        scale = np.array((low, high), np.float32)
        return Prepared(example, SparsePrompt.empty(), {'image': small[None], 'scale': scale})

    def losses(self, network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the mean square error of the image and the two distances to the codebook."""
        answer = network(batch['image'])
        parts = {
            'image': (answer.image - batch['image']).square().mean(),
            'codebook': answer.codebook_error,
            'commitment': answer.commitment,
        }
        options = self._options
        total = (
            parts['image']
            + options.codebook_weight * parts['codebook']
            + options.commitment_weight * parts['commitment']
        )
        return {'loss': total, **parts}

    def predict(self, network: nn.Module, batch: Mapping[str, Any]) -> list[NDArray[np.float32]]:
        """Return the depth that the tokens stand for, as large as the tokenizer's images."""
        images = network(batch['image']).image.detach()[:, 0].float().clamp(0.0, 1.0)
        scales = batch['scale'].cpu().numpy()
        return [
            depth_of(image, float(low), float(high))
            for image, (low, high) in zip(images.cpu().numpy(), scales, strict=True)
        ]


def create(network: Mapping[str, Any], options: Mapping[str, Any], where: str) -> DepthTokenRecipe:
    """Make the recipe of plain values."""
    return DepthTokenRecipe(
        section_from(DepthVqVaeConfig, network, f'{where}: network'),
        section_from(DepthTokenOptions, options, f'{where}: options'),
    )
