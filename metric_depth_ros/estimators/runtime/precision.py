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

# What torch asks of the processor; whatever has AMX tiles multiplies bf16 in them.
_CPU_BF16 = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')


def chosen_precision(wanted: str, device: torch.device) -> str:
    """Return a key of `DTYPES`; ``'auto'`` is bf16 on a GPU that has it, else fp32."""
    if wanted != 'auto':
        return wanted
    fast = device.type == 'cuda' and torch.cuda.is_bf16_supported()
    return 'bf16' if fast else 'fp32'


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bf16 itself; the others are slower in it than in fp32."""
    # Asked by name, for not every version of torch tells both.
    told = (getattr(torch.cpu, name, None) for name in _CPU_BF16)
    return any(ask is not None and ask() for ask in told)


class CastNetwork:
    """A network on a device in some precision.

    Keeps the float32 weights on the CPU where a lower precision is wanted: rounded weights cannot
    be made exact again.

    Parameters
    ----------
    network
        Loaded network, on the CPU, in float32; `move` puts it to work.
    precision
        Key of `DTYPES` that it will compute in at first.
    """

    def __init__(self, network: nn.Module, precision: str) -> None:
        self.network = network
        self.precision = precision
        self._exact = {} if precision == 'fp32' else network.state_dict()

    def move(self, device: torch.device, precision: str) -> None:
        """Compute on this device, in this precision, from now on."""
        self.network.to(device, DTYPES[precision])
        if precision == 'fp32' and self._exact:
            self.network.load_state_dict(self._exact)
        # What tensor cores and oneDNN convolve fastest.
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = precision


def all_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Return a bool, still on the device: whether no floating tensor holds NaN or infinity."""
    extremes = [
        extreme
        for tensor in tensors
        if tensor.is_floating_point() and tensor.numel()
        for extreme in tensor.aminmax()  # NaN where there is one
    ]
    return (
        torch.stack([torch.isfinite(e) for e in extremes]).all()
        if extremes
        else torch.tensor(True)
    )
