# SPDX-License-Identifier: Apache-2.0
"""How much memory a run may take: from everything at once down to a small image.

The first steps cost time only; the later ones cost resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metric_depth_ros.estimators.options import SCALE_LIMITS

_CROPS = (12, 4)
_SCALE_STEP = 3.0


@dataclass(frozen=True)
class Setting:
    """One step.

    Parameters
    ----------
    together
        All images of a batch at once, or one after the other.
    crops
        Crops of a pyramid network at once; None for all.
    scale
        Multiple of the network's usual number of tokens.
    """

    together: bool
    crops: int | None
    scale: float

    def differences(self, first: Setting) -> list[str]:
        """Say what a reader of the result should know."""
        said = []
        if self.together != first.together:
            said.append('one image at a time')
        if self.crops != first.crops:
            said.append(f'{self.crops} crops at once')
        if self.scale != first.scale:
            said.append(f'{self.scale:.2g}x tokens')
        return said


def settings(scale: float, *, has_crops: bool, one_resolution: bool = False) -> Sequence[Setting]:
    """Return all steps, the most memory first.

    Parameters
    ----------
    scale
        Multiple of the usual number of tokens that is wanted.
    has_crops
        Whether the network can work on its crops in portions.
    one_resolution
        Whether it works at one number of tokens only.
    """
    steps = [Setting(True, None, scale), Setting(False, None, scale)]
    if has_crops:
        steps += [Setting(False, crops, scale) for crops in _CROPS]
    fewest = steps[-1].crops
    while not one_resolution and scale / _SCALE_STEP >= SCALE_LIMITS[0]:
        scale /= _SCALE_STEP
        steps.append(Setting(False, fewest, scale))
    return steps


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory ran out; libraries under torch have their own words."""
    import torch

    words = (
        'out of memory',
        'ALLOC_FAILED',
        "can't allocate memory",
        'not enough memory',
        'Failed to allocate memory',  # ONNX Runtime
        'bad_alloc',
    )
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)
