# SPDX-License-Identifier: Apache-2.0
"""An example seen differently: cropped, resized, mirrored. NumPy and OpenCV.

Depth is resampled to the nearest pixel, because a mean over an edge is a depth that nothing has.
The camera follows, so that rays keep their meaning.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.types import SparsePrompt

_LEAST_AREA = 0.35  # of a random window
_GAMMA, _GAIN = 0.25, 0.1  # standard deviations of logarithms
_GRAY_SHARE = 0.05
_KERNELS_PX = (1, 3, 3, 5)
_LEAST_STYLE = 0.3  # share of the filtered image
_OFF_PX, _OFF_TURN, _OFF_ZOOM = 3.0, 0.004, 0.004
_PATTERNED_SHARE, _PATTERN_POWERS, _DARKEST = 0.6, (0.3, 1.2), 20.0


def random_view(
    example: Example, size: tuple[int, int], rng: np.random.Generator, *, mirror: bool = True
) -> Example:
    """Return a random window of an example, resized, and mirrored half of the time.

    It is enlarged only where the whole example is too small: enlarged depth has staircases.

    Parameters
    ----------
    size
        (width, height) of the result; the window has its proportions.
    mirror
        Whether it may be mirrored.
    """
    height, width = example.depth.shape
    largest = min(width / size[0], height / size[1])
    zoom = max(min(1.0, largest), largest * float(rng.uniform(_LEAST_AREA, 1.0)) ** 0.5)
    window = max(1, round(size[0] * zoom)), max(1, round(size[1] * zoom))
    x = int(rng.integers(0, width - min(width, window[0]) + 1))
    y = int(rng.integers(0, height - min(height, window[1]) + 1))
    seen = resized(cropped(example, x, y, *window), *size)
    return mirrored(seen) if mirror and rng.random() < 0.5 else seen


def cropped(example: Example, x: int, y: int, width: int, height: int) -> Example:
    """Return a window, cut off at the border of the image."""
    rows, columns = slice(y, y + height), slice(x, x + width)
    depth = example.depth[rows, columns]
    height, width = depth.shape
    return replace(
        example,
        image=example.image[rows, columns],
        depth=depth,
        camera=example.camera.cropped(x, y, width, height),
        sensors={
            name: _inside(
                replace(points, uv=points.uv - np.array((x, y), np.float32)), width, height
            )
            for name, points in example.sensors.items()
        },
    )


def resized(example: Example, width: int, height: int) -> Example:
    """Return the example at another size; pixel edges coincide."""
    old_height, old_width = example.depth.shape
    if (old_width, old_height) == (width, height):
        return example
    smaller = width < old_width
    rows = np.minimum((np.arange(height) + 0.5) * old_height / height, old_height - 1)
    columns = np.minimum((np.arange(width) + 0.5) * old_width / width, old_width - 1)
    scale = np.array((width / old_width, height / old_height), np.float32)
    image = cv2.resize(
        example.image,
        (width, height),
        interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR,
    )
    return replace(
        example,
        image=image.astype(np.uint8, copy=False),
        depth=example.depth[rows.astype(np.intp)[:, None], columns.astype(np.intp)],
        camera=example.camera.resized(width, height),
        sensors={
            name: replace(points, uv=(points.uv + np.float32(0.5)) * scale - np.float32(0.5))
            for name, points in example.sensors.items()
        },
    )


def mirrored(example: Example) -> Example:
    """Return the example with left and right exchanged; only for a lens without distortion."""
    camera = example.camera
    if camera.distortion.coefficients:
        return example
    width = camera.width
    K = camera.K.copy()
    K[0, 2] = width - 1 - K[0, 2]
    flip, shift = np.array((-1, 1), np.float32), np.array((width - 1, 0), np.float32)
    return replace(
        example,
        image=np.ascontiguousarray(example.image[:, ::-1]),
        depth=example.depth[:, ::-1],
        camera=CameraModel(width, camera.height, K),
        sensors={
            name: replace(points, uv=points.uv * flip + shift)
            for name, points in example.sensors.items()
        },
    )


def recolored(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image with another tone curve and white balance, now and then gray."""
    curve = np.linspace(0.0, 1.0, 256)[:, None] ** np.exp(_GAMMA * rng.standard_normal())
    gains = np.exp(_GAIN * rng.standard_normal(3))
    table = np.clip(255.0 * curve * gains, 0, 255).astype(np.uint8)
    if rng.random() < _GRAY_SHARE:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.LUT(image, table[None]).astype(np.uint8, copy=False)


def restyled(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image through a random filter from colors to colors, mixed with itself.

    Shapes stay, colors and textures become others than any renderer would give: what a network
    learns of them then is not the renderer's. Most of the results carry another part of the image
    as paint or shadow, so that not every edge of the image is one of depth.

    Source: Xu et al., "Robust and Generalizable Visual Representation Learning via Random
    Convolutions", ICLR 2021.
    """
    side = int(rng.choice(_KERNELS_PX))
    level = image.astype(np.float32)
    planes = cv2.split(level - level.mean(axis=(0, 1)))
    filtered = np.zeros_like(level)
    for channel in range(3):
        for plane, kernel in zip(planes, rng.standard_normal((3, side, side)), strict=True):
            filtered[..., channel] += cv2.filter2D(plane, cv2.CV_32F, kernel)
    filtered *= (level.std() + 1.0) / (filtered.std() + 1.0)
    share = np.float32(rng.uniform(_LEAST_STYLE, 1.0))
    mixed = level + share * (filtered + level.mean(axis=(0, 1)) - level)
    if rng.random() < _PATTERNED_SHARE:
        mixed *= _pattern_of(image, rng)[..., None]
    return mixed.clip(0, 255).astype(np.uint8)


def _pattern_of(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return (H, W) factors about 1: another part of the image, turned, as paint or shadow."""
    height, width = image.shape[:2]
    h, w = (max(1, int(side * rng.uniform(0.2, 1.0))) for side in (height, width))
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    part = cv2.cvtColor(image[y : y + h, x : x + w], cv2.COLOR_RGB2GRAY)
    part = cv2.flip(part, int(rng.integers(-1, 2)))
    part = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    contrast = (part + _DARKEST) / (part.mean() + _DARKEST)
    return contrast ** np.float32(rng.uniform(*_PATTERN_POWERS))


def misregistered(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image that lies some pixels beside depth and points, as those of most rigs do.

    Where image and points disagree about an edge, recorded truth is on the points' side, for it
    comes from the same sensor.
    """
    height, width = image.shape[:2]
    off = float(rng.uniform(0.0, 1.0)) * rng.standard_normal(4)
    turn, zoom = math.degrees(_OFF_TURN * off[2]), 1.0 + _OFF_ZOOM * off[3]
    moved = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn, zoom)
    moved[:, 2] += _OFF_PX * off[:2]
    return cv2.warpAffine(image, moved, (width, height), borderMode=cv2.BORDER_REPLICATE).astype(
        np.uint8, copy=False
    )


def _inside(points: SparsePrompt, width: int, height: int) -> SparsePrompt:
    u, v = points.uv[:, 0], points.uv[:, 1]
    return points.subset((u > -0.5) & (u < width - 0.5) & (v > -0.5) & (v < height - 0.5))
