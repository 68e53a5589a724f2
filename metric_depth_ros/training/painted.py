# SPDX-License-Identifier: Apache-2.0
"""Marks and grain on the surfaces of a view: edges of the image that are none of depth.

Surfaces of simulated worlds are plainer than real ones, so that nearly every strong edge is one
of depth, and a network that learns so reads shadows, signs, panes and bright gaps between leaves
as things at another distance. NumPy and the noise of the simulator.

Source of the idea: Tobin et al., "Domain Randomization for Transferring Deep Neural Networks from
Simulation to the Real World", IROS 2017.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.simulation.textures import smooth_noise
from metric_depth_ros.training.pasted_looks import colors_of, laid_over
from metric_depth_ros.training.pasted_shapes import any_shapes, log_uniform

_GRAINED_SHARE = 0.6
_MOST_GROUPS = 2
_OPACITY = (0.25, 1.0)
_BLUR_PX = (0.3, 1.5)
_OCTAVES = 5
_PERIODS = (0.03, 1.5)  # of the coarsest octave; the view's median depth is 1
_ROUGHNESS = (0.4, 1.0)  # amplitude of an octave against that of the one before
_STRETCH = 0.6  # standard deviation of the logarithm of an axis
_CONTRAST = (0.08, 0.8)  # logarithm of color, standard deviation
_CHROMA = 0.2
_TWO_TONED_SHARE, _STEEPNESS = 0.35, (2.0, 12.0)
_WIDEST = 4.0  # patches of more or less contrast, in periods
_BEYOND = 3.0  # distance of the sky, in farthest depths


def with_paint(example: Example, rng: np.random.Generator) -> Example:
    """Return a view whose surfaces carry grain, stains and flat shapes; its depth is the same.

    The sky stays free of shapes: what is seen there is a thing.
    """
    solid = np.isfinite(example.depth)
    if not solid.any():
        return example
    image = example.image.astype(np.float32)
    if rng.random() < _GRAINED_SHARE:
        image *= _grain(example, rng)
    for _ in range(int(rng.integers(0, _MOST_GROUPS + 1))):
        shapes = any_shapes(example.depth, rng)
        opaque = np.float32(rng.uniform(*_OPACITY)) * ((shapes.labels > 0) & solid)
        colors = colors_of(shapes, example.image, rng)
        image = laid_over(image, colors, opaque, log_uniform(rng, *_BLUR_PX))
    return replace(example, image=image.clip(0, 255).astype(np.uint8))


def _grain(example: Example, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return (H, W, 3) factors of color that vary over space, as if things were cut of marble.

    What is finer than the pixel that sees it fades.
    """
    points, footprint = _places(example)
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    axes = axes * np.exp(_STRETCH * rng.standard_normal(3))
    places = torch.from_numpy((points @ axes).astype(np.float32))
    period = log_uniform(rng, *_PERIODS)
    rough = rng.uniform(*_ROUGHNESS)
    tone, chroma = (_layers(places, footprint, period, rough, rng) for _ in range(2))
    if rng.random() < _TWO_TONED_SHARE:
        tone = np.tanh(log_uniform(rng, *_STEEPNESS) * (tone - rng.normal(0.0, 0.5)))
    strength = 2.0 * _noise_at(places / (_WIDEST * period), rng)
    tone *= np.float32(log_uniform(rng, *_CONTRAST)) * strength
    tint = (rng.uniform(0.0, _CHROMA) * rng.standard_normal(3)).astype(np.float32)
    return np.exp((tone[..., None] + chroma[..., None] * tint).clip(-3.0, 1.2))


def _places(example: Example) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (H, W, 3) points in median depths, and (H, W) the width that a pixel sees there."""
    depth = example.depth
    solid = np.isfinite(depth)
    unit = np.median(depth[solid])
    z = np.where(solid, depth, _BEYOND * depth[solid].max()) / unit
    K = example.camera.K
    v, u = np.indices(depth.shape, np.float32)
    rays = ((u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u))
    return (np.stack(rays, axis=-1) * z[..., None]).astype(np.float32), z / np.float32(K[0, 0])


def _layers(
    places: torch.Tensor,
    footprint: NDArray[np.float32],
    period: float,
    rough: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return (H, W) noise of several octaves, of mean 0 and deviation about 1."""
    total = np.zeros(footprint.shape, np.float32)
    for octave in range(_OCTAVES):
        size = period * 0.5**octave
        seen = (np.float32(size / 3.0) / footprint).clip(max=1.0)
        total += np.float32(5.0 * rough**octave) * seen * (_noise_at(places / size, rng) - 0.5)
    return total * np.float32((1.0 - rough**2 + 1e-3) ** 0.5)


def _noise_at(places: torch.Tensor, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return noise in [0, 1] at (H, W, 3) places, from anywhere in the lattice."""
    offset = torch.from_numpy(rng.uniform(0.0, 16.0, 3).astype(np.float32))
    return smooth_noise(places + offset).numpy()
