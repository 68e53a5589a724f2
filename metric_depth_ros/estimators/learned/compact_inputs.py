# SPDX-License-Identifier: Apache-2.0
"""What the compact teacher sees of a frame; the same code at run time and in training.

NumPy, OpenCV and the classical completion; no torch, so that data workers stay light.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from metric_depth_ros.estimators.classical.completion import complete
from metric_depth_ros.estimators.classical.layout import pixel_index, spacing
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.geometry.unprojection import ray_slopes
from metric_depth_ros.types import Source, SparsePrompt

MULTIPLE_PX = 32  # the fine image is a multiple of this
MOST_PIXELS = 1280 * 384  # of the fine image; larger images are scaled down
# So are those whose points are far apart, or the network would not see from one to the next: until
# so many pixels lie between scan lines or scattered points. Chosen on simulated images at the size
# of real ones; the fewest pixels are about those of the training's views.
WIDEST_SPACING_PX = 12.0
FEWEST_PIXELS = 60_000

CHANNELS = (
    *(f'image_{y}{x}_{c}' for c in 'rgb' for y in (0, 1) for x in (0, 1)),
    'guess', 'guess_confidence', 'nearest_from_guess', 'distance',
    'point', 'point_near', 'point_far', 'point_noise', 'radar',
    'ray_x', 'ray_y', 'ray_known', 'density',
    *(f'guess_{y}{x}' for y in (0, 1) for x in (0, 1)),
)  # fmt: skip

_LOG_LIMIT = 3.0  # |log(depth / unit)| and differences are cut off here


class CompactInput(NamedTuple):
    """One image for the compact teacher.

    Attributes
    ----------
    inputs
        (len(CHANNELS), h, w) float32.
    guess
        (1, 2 h, 2 w) float32 natural logarithm of depth over the unit.
    unit_m
        Median depth of the prompt.
    """

    inputs: NDArray[np.float32]
    guess: NDArray[np.float32]
    unit_m: float


def fine_size(width: int, height: int, most_pixels: int = MOST_PIXELS) -> tuple[int, int]:
    """Return the (width, height) that the answer has, near the image's or the largest allowed.

    It is larger than the image only where that has less than one multiple.
    """
    scale = min(1.0, (most_pixels / (width * height)) ** 0.5)
    fine_width, fine_height = (
        MULTIPLE_PX * max(1, min(round(side * scale / MULTIPLE_PX), side // MULTIPLE_PX))
        for side in (width, height)
    )
    return fine_width, fine_height


def size_for(
    width: int, height: int, uv: NDArray[np.float32], *, in_halves: bool = False
) -> tuple[int, int]:
    """Return the (width, height) of the fine image for points.

    Parameters
    ----------
    width, height
        Of the image.
    uv
        (N, 2) pixels.
    in_halves
        Whether to choose among the most pixels, half of them, a quarter and an eighth only, so
        that prompts that vary have few sizes.
    """
    largest = fine_size(width, height)
    shape = largest[::-1]
    apart = math.inf
    if len(uv):
        apart = max(spacing(pixel_index(_scaled(uv, (width, height), largest), shape), shape))
    if apart <= WIDEST_SPACING_PX:
        return largest
    most = min(MOST_PIXELS, width * height)
    pixels = max(FEWEST_PIXELS, round(most * (WIDEST_SPACING_PX / apart) ** 2))
    if in_halves:
        pixels = round(most / 2 ** round(math.log2(most / pixels)))
    return fine_size(width, height, pixels)


def compact_input(
    image: NDArray[np.uint8],
    prompt: SparsePrompt,
    camera: CameraModel | None,
    fine: tuple[int, int] | None = None,
) -> CompactInput:
    """Prepare a frame that has a prompt.

    Parameters
    ----------
    image
        (H, W, 3) uint8 RGB.
    prompt
        At least one point.
    camera
        Of the image, where known.
    fine
        (width, height) of the fine image; default: that of `size_for`.
    """
    height, width = image.shape[:2]
    fine = fine or size_for(width, height, prompt.uv)
    image = resized(image, fine)
    half = (fine[0] // 2, fine[1] // 2)
    depth, confidence = complete(
        image, _scaled(prompt.uv, (width, height), fine), prompt.depth, prompt.sigma, 'quality'
    )
    unit_m = float(np.median(prompt.depth))
    fine_guess = _limited(np.log(depth / unit_m))
    guess = cv2.resize(fine_guess, half, interpolation=cv2.INTER_AREA)
    uv = _scaled(prompt.uv, (width, height), half)
    channels = [
        *_image_channels(image),
        guess,
        cv2.resize(confidence, half, interpolation=cv2.INTER_AREA),
        *_point_channels(prompt, uv, guess, unit_m),
        *_ray_channels(camera, half),
        np.float32(0.25 * np.log(guess.size / len(prompt))),
        *(fine_guess[y::2, x::2] - guess for y in (0, 1) for x in (0, 1)),
    ]
    # Written one by one: stacked, one float64 among them would make all of them float64.
    inputs = np.empty((len(channels), *guess.shape), np.float32)
    for place, channel in zip(inputs, channels, strict=True):
        place[...] = channel
    return CompactInput(inputs, fine_guess[None], unit_m)


def resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an image of a size, (width, height)."""
    if image.shape[1::-1] == size:
        return image
    smaller = size[0] < image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _scaled(
    uv: NDArray[np.float32], size: tuple[int, int], other: tuple[int, int]
) -> NDArray[np.float32]:
    """Return pixels of an image of one (width, height) in one of another."""
    shrink = np.array((other[0] / size[0], other[1] / size[1]), np.float32)
    return (uv + np.float32(0.5)) * shrink - np.float32(0.5)


def _image_channels(image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Return 12 of (h, w): the 2 x 2 fine pixels of each place, exposure and contrast evened."""
    mean, deviation = cv2.meanStdDev(image)
    scale = 1.0 / (float(np.sqrt(np.mean(deviation**2))) + 8.0)
    level = image.astype(np.float32)
    level -= np.float32(mean.mean())
    level *= np.float32(scale)
    h, w = image.shape[0] // 2, image.shape[1] // 2
    places = level.reshape(h, 2, w, 2, 3)
    return [places[:, y, :, x, c] for c in range(3) for y in (0, 1) for x in (0, 1)]


def _point_channels(
    prompt: SparsePrompt, uv: NDArray[np.float32], guess: NDArray[np.float32], unit_m: float
) -> list[NDArray[np.float32]]:
    """Return the points as maps, and how far every place is from them."""
    h, w = guess.shape
    column = np.rint(uv[:, 0]).astype(np.intp).clip(0, w - 1)
    row = np.rint(uv[:, 1]).astype(np.intp).clip(0, h - 1)
    pixel = row * w + column
    log_depth = np.log(prompt.depth / np.float32(unit_m))
    near = np.full(h * w, np.inf, np.float32)
    far = np.full(h * w, -np.inf, np.float32)
    np.minimum.at(near, pixel, log_depth)
    np.maximum.at(far, pixel, log_depth)
    known = np.isfinite(near).reshape(h, w)
    flat = guess.reshape(-1)
    near = _limited(np.where(np.isfinite(near), near - flat, 0.0)).reshape(h, w)
    far = _limited(np.where(np.isfinite(far), far - flat, 0.0)).reshape(h, w)
    noise = np.zeros(h * w, np.float32)
    noise[pixel] = np.minimum(prompt.sigma / prompt.depth, 1.0)
    radar = np.zeros(h * w, np.float32)
    radar[pixel] = prompt.source == Source.RADAR
    distance, (nearest_row, nearest_column) = distance_transform_edt(~known, return_indices=True)
    nearest_point = (near + guess).take(nearest_row * w + nearest_column) - guess
    return [
        _limited(nearest_point),
        np.float32(0.25) * np.log1p(distance.astype(np.float32)),
        known.astype(np.float32),
        near,
        far,
        noise.reshape(h, w),
        radar.reshape(h, w),
    ]


def _ray_channels(camera: CameraModel | None, half: tuple[int, int]) -> list[NDArray[np.float32]]:
    """Return where the rays point, (x / z, y / z), and where that is known."""
    shape = half[::-1]
    if camera is None:
        return [np.zeros(shape, np.float32) for _ in range(3)]
    slopes = ray_slopes(camera.resized(*half))
    x, y = (np.nan_to_num(slope, nan=0.0).clip(-4.0, 4.0) for slope in slopes)
    known = np.isfinite(slopes[0]).astype(np.float32)
    return [np.broadcast_to(channel, shape) for channel in (x, y, known)]


def _limited(log_ratio: NDArray) -> NDArray[np.float32]:
    return log_ratio.clip(-_LOG_LIMIT, _LOG_LIMIT).astype(np.float32, copy=False)
