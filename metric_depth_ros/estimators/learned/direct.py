# SPDX-License-Identifier: Apache-2.0
"""Running a network plainly: one device, its own precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from metric_depth_ros.estimators.devices import torch_device
from metric_depth_ros.estimators.options import EstimatorOptions


@dataclass(frozen=True, eq=False)
class Batch:
    """Input of a network.

    Parameters
    ----------
    images
        (B, 3, H, W).
    focal_px
        (B,) or None.
    prompts
        More tensors, by name.
    crops
        Crops at once in the pyramid networks; None for all.
    """

    images: Tensor
    focal_px: Tensor | None = None
    prompts: Mapping[str, Tensor] = field(default_factory=dict)
    crops: int | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """Outputs on the CPU, and what a reader should know."""

    outputs: Mapping[str, Tensor]
    note: str = ''


class Runner:
    """A network on its device."""

    def __init__(
        self,
        network: nn.Module,
        infer: Callable[[nn.Module, Batch, float], Mapping[str, Tensor]],
        options: EstimatorOptions,
    ) -> None:
        self._device = torch_device(options.device)
        self._network = network.to(self._device).eval()
        self._infer = infer
        self._scale = options.resolution_scale

    def run(self, batch: Batch) -> Outcome:
        """Run."""
        to = self._device
        moved = Batch(
            batch.images.to(to),
            None if batch.focal_px is None else batch.focal_px.to(to),
            {name: tensor.to(to) for name, tensor in batch.prompts.items()},
            batch.crops,
        )
        with torch.inference_mode():
            outputs = self._infer(self._network, moved, self._scale)
        return Outcome(
            {
                name: (tensor.float() if tensor.is_floating_point() else tensor).cpu()
                for name, tensor in outputs.items()
            }
        )
