# SPDX-License-Identifier: Apache-2.0
"""The running mean of a network's weights (EMA), which errs less than any one of them. Torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


class RunningMean:
    """Exponential mean of the trainable weights, in float32.

    Parameters
    ----------
    network
        Its present weights are where the mean begins.
    decay
        Share of the mean that a step keeps. In the first steps it keeps less, so that random
        weights do not linger: at step n at most (1 + n) / (10 + n).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._parameters = {
            name: parameter
            for name, parameter in network.named_parameters()
            if parameter.requires_grad
        }
        self.weights = {
            name: parameter.detach().float().clone()
            for name, parameter in self._parameters.items()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights of a finished step in, counted from 1."""
        share = 1.0 - min(self._decay, (1.0 + step) / (10.0 + step))
        present = [parameter.detach().float() for parameter in self._parameters.values()]
        torch._foreach_lerp_(list(self.weights.values()), present, share)

    def whole(self) -> dict[str, Tensor]:
        """Return the mean weights; a work of all processes where each has a part of them."""
        return {
            name: mean.full_tensor() if isinstance(mean, DTensor) else mean
            for name, mean in self.weights.items()
        }

    @torch.no_grad()
    def load(self, weights: dict[str, Tensor]) -> None:
        """Continue from stored weights of the same names."""
        for name, mean in self.weights.items():
            stored = weights[name].to(mean.device)
            if isinstance(mean, DTensor):
                stored = distribute_tensor(stored, mean.device_mesh, mean.placements)
            mean.copy_(stored)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Let the network have the mean for a while.

        The mean itself stays where it is: weights in bf16 (DeepSpeed) would round it.
        """
        kept = {name: value.detach().clone() for name, value in self._parameters.items()}
        self._give(self.weights)
        try:
            yield
        finally:
            self._give(kept)

    @torch.no_grad()
    def _give(self, weights: Mapping[str, Tensor]) -> None:
        """Let the network have these weights."""
        for name, parameter in self._parameters.items():
            parameter.copy_(weights[name])
