# SPDX-License-Identifier: Apache-2.0
"""Masks of depth patches for masked depth modeling. NumPy only.

Where a sensor fails is where depth is hard; what it left over is masked first, and random patches
fill up. Source: LingBot-Depth, section 2.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIXED_SHARE = 0.75
TARGET_SHARES = (0.6, 0.9)


def draw_patch_mask(
    valid: NDArray[np.bool_], patch: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw which patches of a depth map a network may not see.

    Patches without any depth always; those with some holes with a chance of three quarters; then
    whole ones at random until 60 to 90 % of all patches are masked, which the first two may
    exceed.

    Parameters
    ----------
    valid
        (rows * patch, columns * patch), True where there is depth.
    patch
        Side of a patch in pixels.

    Returns
    -------
    NDArray[np.bool_]
        (rows, columns), True where masked.
    """
    rows, columns = valid.shape[0] // patch, valid.shape[1] // patch
    share = valid.reshape(rows, patch, columns, patch).mean((1, 3))
    mixed = (share > 0.0) & (share < 1.0)
    masked = (share == 0.0) | (mixed & (rng.random(share.shape) < MIXED_SHARE))
    wanted = round(rng.uniform(*TARGET_SHARES) * masked.size)
    whole = np.flatnonzero(share == 1.0)
    more = min(max(0, wanted - int(masked.sum())), len(whole))
    masked.reshape(-1)[rng.choice(whole, more, replace=False)] = True
    return masked


def enlarged(mask: NDArray[np.bool_], patch: int) -> NDArray[np.bool_]:
    """Return a mask of patches as one of pixels."""
    return mask.repeat(patch, 0).repeat(patch, 1)
