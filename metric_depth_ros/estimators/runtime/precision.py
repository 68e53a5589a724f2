# SPDX-License-Identifier: Apache-2.0
"""The number format that a network computes in, with a way back to exact float32 weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

DTYPES: Mapping[str, torch.dtype] = {
    'fp32': torch.float32,
    'bf16': torch.bfloat16,
    'fp16': torch.float16,
}


def chosen_precision(wanted: str, device: torch.device) -> str:
    """Return a key of `DTYPES`; ``'auto'`` is bf16 on a GPU that has it, else fp32."""
    if wanted != 'auto':
        return wanted
    fast = device.type == 'cuda' and torch.cuda.is_bf16_supported()
    return 'bf16' if fast else 'fp32'


class CastNetwork:
    """A network on a device in some precision.

    Keeps the float32 weights on the CPU where a lower precision is wanted: rounded weights cannot
    be made exact again.

    Parameters
    ----------
    network
        Loaded network, on the CPU, in float32.
    device
        Where it runs.
    precision
        Key of `DTYPES`.
    """

    def __init__(self, network: nn.Module, device: torch.device, precision: str) -> None:
        self.network = network
        self.precision = precision
        self._exact = {} if precision == 'fp32' else network.state_dict()
        network.to(device, DTYPES[precision])
        # What tensor cores and oneDNN convolve fastest.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def change(self, precision: str) -> None:
        """Compute in another precision from now on."""
        self.network.to(DTYPES[precision])
        if precision == 'fp32':
            self.network.load_state_dict(self._exact)
        self.precision = precision


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no floating tensor holds NaN or infinity; waits for the device once."""
    flags = [torch.isfinite(tensor).all() for tensor in tensors if tensor.is_floating_point()]
    return not flags or bool(torch.stack(flags).all())
