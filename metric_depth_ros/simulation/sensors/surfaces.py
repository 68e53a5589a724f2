# SPDX-License-Identifier: Apache-2.0
"""Surfaces that fool a depth camera: glass, mirrors, black plastic. NumPy and OpenCV only.

Which ones they are nobody says: whole patches of one color and one depth are picked by chance.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SMALLEST, _LARGEST = 0.002, 0.2  # of the image
_GRAY_STEPS, _DEPTH_STEPS = 5, 3  # neighbors that differ by no more belong to one surface
_DEPTH_SCALE = 40.0  # steps to a factor of e in depth
_ATTEMPTS = 4


def fool(
    depth: NDArray[np.float32], image: NDArray[np.uint8], count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the (H, W) depth from which light comes back; NaN where none does.

    Parameters
    ----------
    depth, image
        (H, W) meters and (H, W, 3) uint8.
    count
        Most surfaces that are unusual.
    rng
        Chance.
    """
    depth = depth.copy()
    known = np.isfinite(depth) & (depth > 0.0)
    look = _look(depth, known, image)
    for _ in range(count):
        surface = _pick_surface(look, known, rng)
        if surface is not None:
            _FAULTS[rng.integers(len(_FAULTS))](depth, surface, rng)
    return depth


def _look(
    depth: NDArray[np.float32], known: NDArray[np.bool_], image: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 brightness, color and depth, in which surfaces are even."""
    smooth = cv2.blur(image, (3, 3))
    gray = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY)
    color = 128 + (smooth[..., 0].astype(np.int16) - smooth[..., 2]) // 2
    steps = _DEPTH_SCALE * np.log(np.where(known, depth, np.float32(1.0)))
    return np.stack((gray, color.astype(np.uint8), steps.astype(np.int32) % 256), -1).astype(
        np.uint8
    )


def _pick_surface(
    look: NDArray[np.uint8], known: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_] | None:
    """Grow a patch from a random pixel; None when chance finds none of a sensible size."""
    height, width = known.shape
    step = (_GRAY_STEPS, _GRAY_STEPS, _DEPTH_STEPS)
    for _ in range(_ATTEMPTS):
        seed = (int(rng.integers(width)), int(rng.integers(height)))
        mask = np.zeros((height + 2, width + 2), np.uint8)
        cv2.floodFill(look, mask, seed, 0, step, step, 4 | cv2.FLOODFILL_MASK_ONLY)
        surface = cv2.morphologyEx(mask[1:-1, 1:-1], cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        found = (surface > 0) & known
        if _SMALLEST < found.mean() < _LARGEST:
            return found
    return None


def _lose(
    depth: NDArray[np.float32], surface: NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """Make black plastic or steel of it: nothing comes back, but for the rim."""
    size = 2 * int(rng.integers(0, 3)) + 1
    depth[cv2.erode(surface.astype(np.uint8), np.ones((size, size), np.uint8)) > 0] = np.nan


def _see_through(
    depth: NDArray[np.float32], surface: NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """Make glass of it: what is around and behind is measured instead."""
    ring = cv2.dilate(surface.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(np.bool_)
    around = depth[ring & ~surface]
    around = around[np.isfinite(around)]
    if len(around):
        behind = np.float32(np.quantile(around, 0.8))
        depth[surface] = np.maximum(depth[surface], behind)


def _mirror(
    depth: NDArray[np.float32], surface: NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """Push a mirror or a wet floor back: things appear as far behind as they stand before."""
    depth[surface] *= np.float32(rng.uniform(1.15, 2.5))


_FAULTS = (_lose, _lose, _see_through, _mirror)
