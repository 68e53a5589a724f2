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

# Compute capability from which GPUs multiply it themselves. torch's own question for bf16 counts
# emulation, and asks whichever device is the current one.
_CAPABILITY = {'bf16': (8, 0), 'fp16': (7, 0)}
# What torch asks of the processor; whatever has AMX tiles multiplies bf16 in them.
_CPU_BF16 = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
# Weights looked at together: those that a cast rounds show it in the first few.
_COMPARED = 1 << 20


def chosen_precision(wanted: str, device: torch.device, low: str = 'bf16') -> str:
    """Return a key of `DTYPES`.

    Parameters
    ----------
    wanted
        Key of `DTYPES`, or ``'auto'``: `low` on a GPU that has it, else fp32.
    device
        Where the network runs.
    low
        ``'bf16'`` or ``'fp16'``.
    """
    if wanted != 'auto':
        return wanted
    fast = device.type == 'cuda' and torch.cuda.get_device_capability(device) >= _CAPABILITY[low]
    return low if fast else 'fp32'


def low_precision_of(network: nn.Module) -> str:
    """Return the precision below float32 that the authors of a network chose, else bf16."""
    return str(getattr(network, 'low_precision', 'bf16'))


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bf16 itself; the others are slower in it than in fp32."""
    # Asked by name, for not every version of torch tells both.
    told = (getattr(torch.cpu, name, None) for name in _CPU_BF16)
    return any(ask is not None and ask() for ask in told)


class CastNetwork:
    """A network on a device in some precision.

    Keeps, on the CPU, the float32 weights that a lower precision rounds: they cannot be made exact
    again. Those that were stored in it already can.

    Parameters
    ----------
    network
        Loaded network, on the CPU, in float32; `move` puts it to work.
    precision
        Key of `DTYPES`: the only one besides float32 that it will compute in.
    """

    def __init__(self, network: nn.Module, precision: str) -> None:
        self._network = network
        self._exact = {
            name: tensor
            for name, tensor in network.state_dict().items()
            if _is_rounded(tensor, DTYPES[precision])
        }

    def move(self, device: torch.device, precision: str) -> None:
        """Compute on this device, in this precision, from now on.

        What fails halfway leaves a network in two precisions; the next move mends it.
        """
        self._network.to(device, DTYPES[precision])
        if precision == 'fp32' and self._exact:
            self._network.load_state_dict(self._exact, strict=False)
        # What tensor cores and oneDNN convolve fastest.
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _is_rounded(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Whether a cast changes any of the numbers."""
    if not tensor.is_floating_point() or tensor.dtype == dtype:
        return False
    parts = tensor.flatten().split(_COMPARED)
    return not all(torch.equal(part, part.to(dtype).to(part.dtype)) for part in parts)


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
