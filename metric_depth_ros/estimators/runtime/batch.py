# SPDX-License-Identifier: Apache-2.0
"""What goes into a network: tensors of one or several images of one size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Input of a network; the first dimension of every tensor counts the images.

    Parameters
    ----------
    images
        (B, 3, H, W) RGB, uint8, or float in [0, 1].
    focal_px
        (B,) horizontal focal lengths in pixels of these images, or None.
    prompts
        Further tensors by name, (B, ...).
    crops
        Crops that a pyramid network may work on at once; None for all.
    """

    images: Tensor
    focal_px: Tensor | None = None
    prompts: Mapping[str, Tensor] = field(default_factory=dict)
    crops: int | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with every tensor changed."""
        return replace(
            self,
            images=change(self.images),
            focal_px=None if self.focal_px is None else change(self.focal_px),
            prompts={name: change(tensor) for name, tensor in self.prompts.items()},
        )

    def singles(self) -> list[Batch]:
        """Return one batch for each image."""
        return [self.map(itemgetter(slice(i, i + 1))) for i in range(len(self))]
