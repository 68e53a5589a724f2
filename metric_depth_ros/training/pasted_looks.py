# SPDX-License-Identifier: Apache-2.0
"""What pasted shapes look like, and the shadows that they cast. NumPy and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.training.pasted_shapes import Shapes, log_uniform

_PLAIN_SHARE, _TEXTURED_SHARE = 0.15, 0.5
_TINT, _SHADE = 0.12, 0.25  # standard deviations of logarithms
_TILE_PX = 256  # of a texture; a power of two
_FALLOFF = (0.7, 1.8)  # of a texture's amplitude with frequency; of photographs it is about 1
_CONTRAST, _CHROMA = (0.03, 0.6), 0.3
_GRADIENT = 1.5  # logarithm of the light across the image's width
_DARKEST = 8.0
_REACH = 0.08  # of a shadow, of the image's width
_STRENGTH = (0.2, 0.85)
_SOFTNESS_PX = (0.3, 6.0)


def colors_of(
    shapes: Shapes, image: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (H, W, 3) colors of shapes: plain, another part of the image, or textures.

    Parameters
    ----------
    image
        (H, W, 3) uint8 RGB of the view, which lends its colors.
    """
    drawn = rng.random()
    if drawn < _TEXTURED_SHARE:
        return _textured(shapes, image, rng)
    return _borrowed(shapes, image, rng, plain=drawn < _TEXTURED_SHARE + _PLAIN_SHARE)


def laid_over(
    image: NDArray[np.float32],
    colors: NDArray[np.float32],
    opaque: NDArray[np.float32],
    blur_px: float,
) -> NDArray[np.float32]:
    """Return an image with colors over it, the border between them as blurred as a lens does.

    Parameters
    ----------
    image, colors
        (H, W, 3). Colors count where they are opaque only: beside a shape they are anything.
    opaque
        (H, W) in [0, 1].
    blur_px
        Sigma; less than a fifth of a pixel is none.
    """
    over = np.dstack((colors * opaque[..., None], opaque))
    if blur_px > 0.2:
        over = cv2.GaussianBlur(over, (0, 0), blur_px).astype(np.float32, copy=False)
    return (image * (1.0 - over[..., 3:]) + over[..., :3]).astype(np.float32, copy=False)


def shadows_of(
    labels: NDArray[np.int32], hidden: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (H, W, 1) factors of the light: shapes darken what is beside and behind them.

    Parameters
    ----------
    labels
        (H, W) of the shapes; the larger, the nearer.
    hidden
        (H, W) where a shape is not seen: it casts no shadow from there.
    """
    height, width = labels.shape
    reach = _REACH * width
    way = np.array(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
    way[:, 2] = rng.uniform(-reach, reach, 2)
    caster = np.where(hidden, 0, labels).astype(np.float32)
    moved = cv2.warpAffine(caster, way, (width, height), flags=cv2.INTER_NEAREST)
    shadow = (moved > caster).astype(np.float32)
    shadow = cv2.GaussianBlur(shadow, (0, 0), log_uniform(rng, *_SOFTNESS_PX))
    return (1.0 - np.float32(rng.uniform(*_STRENGTH)) * shadow)[..., None]


def _textured(
    shapes: Shapes, image: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return colors of the view, each shape with a part of a texture and a light of its own."""
    labels, centers = shapes.labels, shapes.centers
    height, width = labels.shape
    count = len(centers)
    pixels = image.reshape(-1, 3)
    few = pixels[rng.integers(0, len(pixels), int(rng.integers(1, 9)))].astype(np.float32)
    base = few[rng.integers(0, len(few), count)] + np.float32(_DARKEST)
    base *= np.exp(
        _TINT * rng.standard_normal((count, 3)) + _SHADE * rng.standard_normal((count, 1))
    )
    rows, columns = np.nonzero(labels)
    number = labels[rows, columns]
    corner = rng.integers(0, _TILE_PX, (count, 2))[number]
    last = _TILE_PX - 1
    tile = _texture(rng)
    pattern = tile[(rows + corner[:, 0]) & last, (columns + corner[:, 1]) & last]
    away = (np.stack((columns, rows), axis=1) - centers[number]) / np.float32(width)
    slope = _GRADIENT * rng.standard_normal((count, 2)).astype(np.float32)
    light = (slope[number] * away).sum(axis=1)
    color = np.zeros((height, width, 3), np.float32)
    color[rows, columns] = base[number] * np.exp((pattern + light[:, None]).clip(-3.0, 1.5))
    return color


def _texture(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a (_TILE_PX, _TILE_PX, 3) pattern that repeats, of the logarithm of color.

    Its spectrum falls with frequency as that of photographs does.
    """
    rows, columns = np.fft.fftfreq(_TILE_PX)[:, None], np.fft.rfftfreq(_TILE_PX)[None]
    frequency = np.hypot(rows, columns * log_uniform(rng, 0.3, 3.0))
    frequency[0, 0] = np.inf
    amplitude = frequency ** -rng.uniform(*_FALLOFF)
    shape = (*amplitude.shape, 2)
    planes = []
    for _ in range(2):
        wave = amplitude * (rng.standard_normal(shape) @ (1.0, 1j))
        plane = np.fft.irfft2(wave, (_TILE_PX, _TILE_PX))
        planes.append(plane / plane.std())
    mixture = np.stack((np.ones(3), rng.uniform(0.0, _CHROMA) * rng.standard_normal(3)))
    contrast = log_uniform(rng, *_CONTRAST)
    return (contrast * np.stack(planes, axis=-1) @ mixture).astype(np.float32)


def _borrowed(
    shapes: Shapes, image: NDArray[np.uint8], rng: np.random.Generator, *, plain: bool
) -> NDArray[np.float32]:
    """Return another part of the image, or one color of it, each shape in a tint."""
    height, width = shapes.labels.shape
    h, w = (max(1, int(side * rng.uniform(0.1, 1.0))) for side in (height, width))
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    part = image[y : y + h, x : x + w].astype(np.float32)
    if plain:
        part = part[:1, :1]
    color = cv2.resize(cv2.flip(part, int(rng.integers(-1, 2))), (width, height))
    count = len(shapes.centers)
    tints = np.exp(
        _SHADE * rng.standard_normal((count, 1))
        + _TINT * rng.standard_normal(3)
        + rng.uniform(0.0, _TINT) * rng.standard_normal((count, 3))
    )
    return color.astype(np.float32, copy=False) * tints.astype(np.float32)[shapes.labels]
