# SPDX-License-Identifier: Apache-2.0
"""From light to picture: exposure, lens and sensor faults, compression. NumPy and OpenCV only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

_MIDDLE_GRAY = 0.16
_DARKEST = np.float32(1e-4)


@dataclass(frozen=True)
class CameraNoise:
    """How one picture is taken. The defaults are those of a good camera.

    Parameters
    ----------
    stops
        Exposure against the one that makes the picture's mean a middle gray.
    contrast
        Exponent on the light before the tone curve.
    white_balance
        Factors of red, green and blue.
    saturation
        0 makes a gray picture.
    blur_px
        Sigma of the lens' blur.
    motion_px, motion_rad
        Length and direction of the motion blur.
    vignette
        Share of the light that is lost in the corners.
    noise_steps
        Noise of a middle gray pixel in 8-bit steps.
    chroma
        Share of the noise that differs between the colors.
    bands
        Strength of horizontal bands of brightness, as of flickering lamps.
    jpeg_quality
        0 to 100, or None for no compression.
    """

    stops: float = 0.0
    contrast: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    blur_px: float = 0.55
    motion_px: float = 0.0
    motion_rad: float = 0.0
    vignette: float = 0.15
    noise_steps: float = 2.0
    chroma: float = 1.0
    bands: float = 0.0
    jpeg_quality: int | None = None


def random_noise(rng: np.random.Generator) -> CameraNoise:
    """Return how any camera might take a picture."""

    def sometimes(probability: float, value: float) -> float:
        return value if rng.random() < probability else 0.0

    red, green, blue = np.exp(rng.normal(0.0, 0.1, 3))
    return CameraNoise(
        stops=rng.normal(0.0, 0.6),
        contrast=rng.uniform(0.75, 1.3),
        white_balance=(float(red), float(green), float(blue)),
        saturation=0.0 if rng.random() < 0.08 else rng.uniform(0.4, 1.4),
        blur_px=rng.uniform(0.25, 1.2),
        motion_px=sometimes(0.2, rng.uniform(1.0, 7.0)),
        motion_rad=rng.choice((0.0, rng.uniform(0.0, math.pi))),
        vignette=rng.uniform(0.0, 0.5),
        noise_steps=float(np.exp(rng.uniform(np.log(0.3), np.log(10.0)))),
        chroma=rng.uniform(0.0, 1.0),
        bands=sometimes(0.05, rng.uniform(0.02, 0.15)),
        jpeg_quality=int(rng.integers(25, 97)) if rng.random() < 0.6 else None,
    )


def expose_randomly(
    radiance: Tensor, rng: np.random.Generator, noise: CameraNoise
) -> NDArray[np.uint8]:
    """Take a picture.

    Parameters
    ----------
    radiance
        (H, W, 3) linear RGB on any device.
    rng
        Chance of the grain.
    noise
        How the picture is taken.

    Returns
    -------
    NDArray[np.uint8]
        (H, W, 3) sRGB.
    """
    light = radiance.cpu().numpy().astype(np.float32)
    height, width = light.shape[:2]
    light = _blurred(light, noise)
    # A meter that a bright sky or a lamp hardly misleads: the mean of the logarithm.
    gain = _MIDDLE_GRAY / math.exp(float(np.log(np.maximum(light, _DARKEST)).mean()))
    light *= np.float32(gain * 2.0**noise.stops) * np.array(noise.white_balance, np.float32)
    v, u = np.ogrid[-1.0 : 1.0 : height * 1j, -1.0 : 1.0 : width * 1j]
    bands = 1.0 + noise.bands * np.sin(np.float32(rng.uniform(8.0, 40.0)) * v)
    light *= ((1.0 - noise.vignette * 0.5 * (u * u + v * v)) * bands)[..., None].astype(np.float32)
    if noise.saturation != 1.0:
        gray = light @ np.array((0.3, 0.59, 0.11), np.float32)
        light = gray[..., None] + np.float32(noise.saturation) * (light - gray[..., None])
    light = np.maximum(light, 0.0) ** np.float32(noise.contrast)
    filmic = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
    srgb = 255.0 * np.clip(filmic, 0.0, 1.0) ** np.float32(1.0 / 2.2)
    image = _grainy(srgb, rng, noise)
    if noise.saturation == 0.0:
        image[...] = image[..., 1:2]
    return image if noise.jpeg_quality is None else _compressed(image, noise.jpeg_quality)


def spoil(
    image: NDArray[np.uint8], rng: np.random.Generator, noise: CameraNoise
) -> NDArray[np.uint8]:
    """Return a recorded (H, W, 3) picture with a camera's blur, grain and compression added.

    Exposure and colors stay.
    """
    spoiled = _grainy(_blurred(image.astype(np.float32), noise), rng, noise)
    return spoiled if noise.jpeg_quality is None else _compressed(spoiled, noise.jpeg_quality)


def _grainy(
    srgb: NDArray[np.float32], rng: np.random.Generator, noise: CameraNoise
) -> NDArray[np.uint8]:
    grain = rng.standard_normal(srgb.shape, np.float32)
    grain = noise.chroma * grain + (1.0 - noise.chroma) * grain[..., :1]
    # Photon noise: bright pixels vary more, and the tone curve evens most of it out again.
    srgb = srgb + grain * noise.noise_steps * (0.6 + 0.4 * srgb / 128.0)
    return np.clip(np.rint(srgb), 0, 255).astype(np.uint8)


def _blurred(light: NDArray[np.float32], noise: CameraNoise) -> NDArray[np.float32]:
    light = cv2.GaussianBlur(light, (0, 0), max(noise.blur_px, 0.1))
    if noise.motion_px <= 1.0:
        return light
    half = math.ceil(noise.motion_px / 2)
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    reach = np.array((math.cos(noise.motion_rad), math.sin(noise.motion_rad)))
    ends = np.rint(half + np.outer((-0.5, 0.5), noise.motion_px * reach)).astype(int)
    cv2.line(kernel, tuple(ends[0].tolist()), tuple(ends[1].tolist()), 1.0)
    return cv2.filter2D(light, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def _compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    bgr = np.ascontiguousarray(image[..., ::-1])
    _, code = cv2.imencode('.jpg', bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was just encoded
    return np.ascontiguousarray(decoded[..., ::-1]).astype(np.uint8, copy=False)
