# SPDX-License-Identifier: Apache-2.0
"""The arithmetic floor of a network: its multiplications at the speed of bare matrix products."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

_REPEATS = 10


def count_flops(call: Callable[[], object]) -> int:
    """Return the floating-point operations of matrix products and convolutions in a call.

    Attention is computed as plain products meanwhile: fused kernels are not counted everywhere.
    """
    with (
        torch.inference_mode(),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        call()
    return int(counter.get_total_flops())


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations per second of a large square matrix product, the best of ten."""
    side = 8192 if device.type == 'cuda' else 1024
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    best = min(_seconds(lambda: left @ right, device) for _ in range(_REPEATS))
    return 2.0 * side**3 / best


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    finish(device)
    start = time.perf_counter()
    call()
    finish(device)
    return time.perf_counter() - start


def finish(device: torch.device) -> None:
    """Wait until the device is idle."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
