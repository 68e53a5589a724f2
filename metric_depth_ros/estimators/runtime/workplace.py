# SPDX-License-Identifier: Apache-2.0
"""Where tensors are computed outside of a network: on a device, on the CPU once that is full."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from metric_depth_ros.estimators.runtime.settings import is_out_of_memory

Result = TypeVar('Result')

_LOGGER = logging.getLogger(__name__)


class Workplace:
    """A device, until its memory runs out.

    Parameters
    ----------
    device
        The device at first.
    work
        What is done there, for the log.
    """

    def __init__(self, device: torch.device, work: str) -> None:
        self._device = device
        self._work = work

    def do(self, task: Callable[[torch.device], Result]) -> Result:
        """Return what the task makes on the device; it is given the CPU if that has no room.

        The CPU stays: a camera would pay for the failed attempt in every frame otherwise.
        """
        try:
            return task(self._device)
        except RuntimeError as error:
            if self._device.type == 'cpu' or not is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
        # Outside of the handler: its traceback would keep the tensors alive.
        self._device = torch.device('cpu')
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _LOGGER.warning(
            'out of memory (%s): %s runs on the CPU from now on, slowly; free the memory that '
            'others hold and configure again',
            reason,
            self._work,
        )
        return task(self._device)
