# SPDX-License-Identifier: Apache-2.0
"""How DepthLM is asked about a pixel: the image at one focal length, with an arrow beside it.

Imports NumPy and Pillow.

Source: DepthLM (2025), the facts of its pipeline; nothing of its code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metric_depth_ros.errors import InputError

Intrinsics = tuple[float, float, float, float]  # fx, fy, cx, cy in pixels
Pixel = tuple[int, int]  # (u, v)

MARKER_COLOR = (255, 0, 0)
MARKER_PX = 5
# Twice what Qwen2.5-VL sees of an image, more than Pixtral does. Several marked copies are made.
_MOST_PX = 2 * 16384 * 28 * 28
# A red arrow of five pixels to the left of the pixel, which it leaves as it is.
MARKER_OFFSETS: tuple[Pixel, ...] = (
    *((-step, 0) for step in range(1, MARKER_PX + 1)),
    (-2, -1),
    (-2, 1),
    (-3, -2),
    (-3, 2),
)


@dataclass(frozen=True, eq=False)
class UnifiedImage:
    """An image at the focal length that a model was trained with.

    Parameters
    ----------
    resized
        (H, W, 3) uint8 RGB.
    before, after
        Intrinsics before and after the resize, of the whole image.
    offset
        Left upper corner, in the whole image, of the piece that `cut` returned.
    """

    resized: NDArray[np.uint8]
    before: Intrinsics
    after: Intrinsics
    offset: Pixel = (0, 0)

    def pixel(self, pixel: Sequence[int]) -> Pixel:
        """Return where a pixel of the image before the resize is in the one after it."""
        fx, fy, cx, cy = self.before
        new_fx, new_fy, new_cx, new_cy = self.after
        u, v = pixel
        column, row = (u - cx) * new_fx / fx + new_cx, (v - cy) * new_fy / fy + new_cy
        return int(column) - self.offset[0], int(row) - self.offset[1]

    def cut(self, left: int, top: int, width: int, height: int) -> UnifiedImage:
        """Return a piece of the image, or of this piece of it."""
        piece = self.resized[top : top + height, left : left + width]
        return replace(self, resized=piece, offset=(self.offset[0] + left, self.offset[1] + top))

    def contains(self, pixel: Pixel) -> bool:
        """Whether a pixel is one of the resized image."""
        height, width = self.resized.shape[:2]
        return 0 <= pixel[0] < width and 0 <= pixel[1] < height

    def can_be_marked(self, pixel: Pixel) -> bool:
        """Whether there is room for the arrow around a pixel of the resized image."""
        height, width = self.resized.shape[:2]
        u, v = pixel
        return MARKER_PX <= u < width - MARKER_PX and MARKER_PX <= v < height - MARKER_PX

    def marked(self, pixel: Pixel) -> NDArray[np.uint8]:
        """Return the resized image with an arrow that points at one of its pixels.

        Raises
        ------
        InputError
            `pixel_at_border`: less than five pixels from the border.
        """
        if not self.can_be_marked(pixel):
            height, width = self.resized.shape[:2]
            raise InputError(
                'pixel_at_border',
                f'the pixel {pixel} of {width}x{height} is less than {MARKER_PX} pixels from the '
                'border, where depthlm cannot be shown which one is meant: ask for one farther '
                'inside.',
            )
        image = self.resized.copy()
        columns, rows = np.transpose(np.add(pixel, MARKER_OFFSETS))
        image[rows, columns] = MARKER_COLOR
        return image


def unify(image: NDArray[np.uint8], intrinsics: Intrinsics, focal_px: float) -> UnifiedImage:
    """Resize an image to a horizontal focal length.

    The vertical one is whatever follows. The authors mean to make pixels square before, but with
    OpenCV 4.10 and later what they call gives back the same pixels and the same camera.

    Parameters
    ----------
    image
        (H, W, 3) uint8 RGB.
    intrinsics
        Focal lengths and center; a focal length of 0 is that of the other direction.
    focal_px
        The focal length that the model was trained with.

    Raises
    ------
    InputError
        `camera_focal`: no focal length, or one at which there is no image left, or far more of it
        than the network sees.
    """
    height, width = image.shape[:2]
    unseen = unify_unseen((width, height), intrinsics, focal_px)
    size = unseen.resized.shape[1::-1]
    return replace(unseen, resized=np.asarray(Image.fromarray(image).resize(size)))


def unify_unseen(size: tuple[int, int], intrinsics: Intrinsics, focal_px: float) -> UnifiedImage:
    """Return what `unify` would of a black image, without memory for it: where its pixels go.

    Parameters
    ----------
    size
        (width, height) of the image; the others are those of `unify`.
    """
    fx, fy, cx, cy = intrinsics
    fx, fy = fx or fy, fy or fx
    if not (math.isfinite(fx) and math.isfinite(fy) and fx > 0.0 and fy > 0.0):
        raise InputError(
            'camera_focal', f'the focal lengths are {fx} and {fy} px, expected positive ones.'
        )
    before = fx, fy, cx, cy
    scale = focal_px / before[0]
    width, height = int(size[0] * scale), int(size[1] * scale)
    if min(width, height) <= 2 * MARKER_PX or width * height > _MOST_PX:
        raise InputError(
            'camera_focal',
            f'the camera of {size[0]}x{size[1]} pixels has a focal length of {fx:g} px: at '
            f'{focal_px:g} px, which depthlm needs, its image would be {width}x{height}, expected '
            f'sides of more than {2 * MARKER_PX} and at most {_MOST_PX} pixels. Correct fx in its '
            'CameraInfo (--camera): it is in pixels of this image.',
        )
    new_fx, new_fy, new_cx, new_cy = (value * scale for value in before)
    black = np.broadcast_to(np.uint8(0), (height, width, 3))
    return UnifiedImage(black, before, (new_fx, new_fy, new_cx, new_cy))


def distance_to_z(
    distance: NDArray[np.float64], pixels: NDArray[np.float64], intrinsics: Intrinsics
) -> NDArray[np.float64]:
    """Turn distances from the camera's center into depth along its optical axis.

    Parameters
    ----------
    distance
        (N,) m.
    pixels
        (N, 2) pixels (u, v) of an image with these intrinsics.
    intrinsics
        Focal lengths and center.

    Returns
    -------
    NDArray[np.float64]
        (N,) m.
    """
    return distance / np.linalg.norm(rays(pixels, intrinsics), axis=-1)


def rays(pixels: NDArray[np.float64], intrinsics: Intrinsics) -> NDArray[np.float64]:
    """Return (N, 3) points at a depth of 1 m that pixels see."""
    fx, fy, cx, cy = intrinsics
    u, v = np.asarray(pixels, np.float64).T
    return np.stack(((u - cx) / fx, (v - cy) / fy, np.ones_like(u)), axis=-1)
