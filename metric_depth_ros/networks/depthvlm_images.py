# SPDX-License-Identifier: Apache-2.0
"""How DepthVLM sees an image: resized to a focal length of 1000 pixels, then cut into patches.

Three resizes follow each other, as in training: to the canonical focal length, to multiples of
28 pixels (which the authors' tools do by default, though the network has no use for it), and to
multiples of 32. Imports NumPy, Pillow and torch.

Source: DepthVLM; the image processors of Qwen2-VL and Qwen3-VL, without their torchvision.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from metric_depth_ros.errors import InputError

CANONICAL_FOCAL_PX = 1000.0
PATCH_PX = 16
MERGE = 2
TEMPORAL_PATCH = 2

Size = tuple[int, int]  # (width, height)


class _Grid(NamedTuple):
    """Sizes that a processor rounds to: multiples of a factor, within a number of pixels."""

    factor: int
    least_px: int
    most_px: int


_TOOLS = _Grid(28, 4 * 28 * 28, 16384 * 28 * 28)
_NETWORK = _Grid(PATCH_PX * MERGE, 65_536, 16_777_216)
_LONGEST_RATIO = 200
_MOST_PX = 2 * _NETWORK.most_px  # more is seen no better: it is shrunk again


class SeenImage(NamedTuple):
    """An image on its way into the network.

    Parameters
    ----------
    canonical, staged
        (h, w, 3) uint8 after the first and the second resize.
    pixels
        (3, H, W) float32 in [-1, 1], multiples of 32.
    """

    canonical: NDArray[np.uint8]
    staged: NDArray[np.uint8]
    pixels: Tensor


def canonical_size(size: Size, focal_px: float) -> Size:
    """Return the size at which an image has the canonical focal length."""
    width, height = (round(side * CANONICAL_FOCAL_PX / focal_px) for side in size)
    return width, height


def staged_size(size: Size) -> Size:
    """Return the size after the second resize."""
    return _rounded(size, _TOOLS)


def network_size(size: Size) -> Size:
    """Return the size that the network sees."""
    return _rounded(size, _NETWORK)


def see(image: NDArray[np.uint8], focal_px: float) -> SeenImage:
    """Resize an image for the network.

    Parameters
    ----------
    image
        (H, W, 3) uint8 RGB.
    focal_px
        Its horizontal focal length in pixels.

    Raises
    ------
    InputError
        `camera_focal`: a focal length at which nothing of the image would be left, or far more
        than the network sees, or an image that is 200 times as long as it is wide.
    """
    height, width = image.shape[:2]
    if not (math.isfinite(focal_px) and focal_px > 0.0):
        raise InputError(
            'camera_focal', f'the focal length is {focal_px} px, expected a positive one.'
        )
    size = canonical_size((width, height), focal_px)
    _refuse_extreme((width, height), focal_px, size)
    canonical = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    staged = canonical.resize(staged_size(size), Image.Resampling.BICUBIC)
    tensor = torch.from_numpy(np.array(staged)).permute(2, 0, 1)
    width, height = network_size(staged.size)
    resized = F.interpolate(tensor[None], (height, width), mode='bicubic', antialias=True)[0]
    return SeenImage(np.asarray(canonical), np.asarray(staged), resized.float() / 127.5 - 1.0)


def patches(pixels: Tensor) -> Tensor:
    """Cut images into the rows of the network's input.

    Parameters
    ----------
    pixels
        (3, H, W) with sides that are multiples of 32.

    Returns
    -------
    Tensor
        (H/16 * W/16, 3 * 2 * 16 * 16): patches, the four of each token side by side; every
        image is two pictures of a film that does not move.
    """
    channels, height, width = pixels.shape
    rows, columns = height // (PATCH_PX * MERGE), width // (PATCH_PX * MERGE)
    cut = pixels.view(channels, rows, MERGE, PATCH_PX, columns, MERGE, PATCH_PX)
    cut = cut.permute(1, 4, 2, 5, 0, 3, 6)
    film = cut.unsqueeze(5).expand(*cut.shape[:5], TEMPORAL_PATCH, PATCH_PX, PATCH_PX)
    return film.reshape(rows * columns * MERGE * MERGE, -1)


def _rounded(size: Size, grid: _Grid) -> Size:
    width, height = size
    factor = grid.factor
    rounded_width = round(width / factor) * factor
    rounded_height = round(height / factor) * factor
    if grid is _TOOLS:
        rounded_width, rounded_height = max(factor, rounded_width), max(factor, rounded_height)
    if rounded_width * rounded_height > grid.most_px:
        shrink = math.sqrt(width * height / grid.most_px)
        rounded_width = max(factor, math.floor(width / shrink / factor) * factor)
        rounded_height = max(factor, math.floor(height / shrink / factor) * factor)
    elif rounded_width * rounded_height < grid.least_px:
        grow = math.sqrt(grid.least_px / (width * height))
        rounded_width = math.ceil(width * grow / factor) * factor
        rounded_height = math.ceil(height * grow / factor) * factor
    return rounded_width, rounded_height


def _refuse_extreme(size: Size, focal_px: float, seen: Size) -> None:
    width, height = seen
    if min(seen) < 1 or max(seen) > _LONGEST_RATIO * min(seen) or width * height > _MOST_PX:
        raise InputError(
            'camera_focal',
            f'the camera of {size[0]}x{size[1]} pixels has a focal length of {focal_px:g} px: at '
            f'{CANONICAL_FOCAL_PX:g} px, which depthvlm needs, its image would be {width}x'
            f'{height}, expected at most {_MOST_PX} pixels and sides of a ratio up to '
            f'{_LONGEST_RATIO}. Correct fx in its CameraInfo (--camera): it is in pixels of this '
            'image.',
        )
