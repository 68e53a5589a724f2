# SPDX-License-Identifier: Apache-2.0
"""From the CPU to the device and back.

On CUDA, tensors go through pinned memory on a stream of their own, so that the copy neither
blocks the caller nor waits for what the device still computes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from metric_depth_ros.estimators.runtime.batch import Batch


class Uploads:
    """The way to one device.

    Parameters
    ----------
    device
        Where batches go.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == 'cuda' else None

    def upload(self, batch: Batch) -> Batch:
        """Return the batch on the device, ready for its current stream."""
        if self._stream is None:
            return batch.map(lambda tensor: tensor.to(self._device))
        current = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            moved = batch.map(self._through_pinned_memory)
        current.wait_stream(self._stream)
        # The memory belongs to the side stream; without this it could be reused too early.
        return moved.map(lambda tensor: _recorded(tensor, current))

    def _through_pinned_memory(self, tensor: Tensor) -> Tensor:
        if tensor.is_cuda:
            return tensor  # made there, on the current stream
        return tensor.pin_memory().to(self._device, non_blocking=True)


def download(outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return outputs on the CPU, floating numbers as float32; waits for the device once."""
    received = {name: _to_host(tensor) for name, tensor in outputs.items()}
    for device in {tensor.device for tensor in outputs.values() if tensor.is_cuda}:
        torch.cuda.current_stream(device).synchronize()
    return received


def _to_host(tensor: Tensor) -> Tensor:
    if tensor.is_floating_point():
        tensor = tensor.float()
    if not tensor.is_cuda:
        return tensor.cpu()
    # Pinned, so that the copy queues up behind the network instead of stopping this thread.
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)


def _recorded(tensor: Tensor, stream: torch.cuda.Stream) -> Tensor:
    tensor.record_stream(stream)
    return tensor
