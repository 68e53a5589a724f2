# SPDX-License-Identifier: Apache-2.0
"""The torch device of a name. Imports torch when asked, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metric_depth_ros.errors import InputError

if TYPE_CHECKING:
    import torch


def torch_device(name: str) -> torch.device:
    """Return the device; ``'auto'`` is CUDA where there is some.

    Raises
    ------
    InputError
        A CUDA device that this machine does not have.
    """
    import torch

    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    device = torch.device(name)
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            'device',
            f'device is {name!r}, but torch sees {torch.cuda.device_count()} CUDA devices here: '
            "use 'cpu' or 'auto', or install the driver and a torch built for CUDA.",
        )
    return device
