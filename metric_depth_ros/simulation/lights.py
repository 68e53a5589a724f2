# SPDX-License-Identifier: Apache-2.0
"""Light of worlds: the sun, lamps, the sky. torch and NumPy only."""

from __future__ import annotations

import math

import numpy as np
import torch

from metric_depth_ros.simulation.world import RGB, Light, Vector

_CLEAR_M = 1e4


def sunlight(
    azimuth: float,
    elevation: float,
    color: RGB = (1.7, 1.55, 1.3),
    ambient: RGB = (0.3, 0.35, 0.43),
    sky: RGB = (0.75, 0.82, 0.92),
    haze_m: float = 600.0,
    shade: float = 1.0,
) -> Light:
    """Return daylight; azimuth from x toward y and elevation in radians."""
    flat = math.cos(elevation)
    toward = (flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation), 0.0)
    return _light(toward, color, ambient, sky, haze_m, shade)


def lamplight(
    place: Vector,
    color: RGB = (1.25, 1.12, 0.92),
    ambient: RGB = (0.3, 0.31, 0.34),
    sky: RGB = (0.6, 0.62, 0.66),
    shade: float = 1.0,
) -> Light:
    """Return the light of one lamp, its color as received at 2 m."""
    return _light((*place, 1.0), color, ambient, sky, _CLEAR_M, shade)


def random_daylight(rng: np.random.Generator) -> Light:
    """Return sun or clouds, any time of day, clear or hazy air."""
    azimuth, elevation = rng.uniform(0.0, 2.0 * math.pi), np.arcsin(rng.uniform(0.12, 0.98))
    overcast = rng.random() < 0.35
    sun = rng.uniform(0.0, 0.4) if overcast else rng.uniform(0.8, 2.6)
    around = rng.uniform(0.4, 0.9) if overcast else rng.uniform(0.12, 0.5)
    haze_m = float(np.exp(rng.uniform(np.log(150.0), np.log(3000.0))))
    sky = _tinted(rng, rng.uniform(0.45, 1.3), 0.12)
    light, ambient = _tinted(rng, sun, 0.15), _tinted(rng, around, 0.2)
    # Light from behind clouds comes from a wide part of the sky: it shades without shadows.
    shade = 0.0 if overcast else 1.0
    return sunlight(azimuth, float(elevation), light, ambient, sky, haze_m, shade)


def random_night(rng: np.random.Generator, eye: Vector) -> Light:
    """Return the light of a lamp that the camera's vehicle or its neighborhood carries."""
    x, y, z = np.add(eye, rng.normal(0.0, (1.0, 1.0, 0.3))).tolist()
    return _light(
        (x, y, max(z, 0.4), 1.0),
        _tinted(rng, np.exp(rng.uniform(np.log(3.0), np.log(40.0))), 0.2),
        _tinted(rng, rng.uniform(0.02, 0.1), 0.3),
        _tinted(rng, rng.uniform(0.01, 0.06), 0.3),
        _CLEAR_M,
    )


def random_lamp(rng: np.random.Generator, low: Vector, high: Vector) -> Light:
    """Return lamplight from anywhere within a box."""
    x, y, z = rng.uniform(low, high).tolist()
    # Bounced light is strong indoors: it comes from all walls.
    share = rng.uniform(0.1, 0.8)
    level = 1.5 * math.dist(low, high) / 4.0
    return lamplight(
        (x, y, z),
        _tinted(rng, (1.0 - share) * level**2, 0.15),
        _tinted(rng, 0.6 * share, 0.1),
        _tinted(rng, rng.uniform(0.3, 1.2), 0.15),
        float(rng.choice((0.0, rng.uniform(0.3, 1.0), 1.0))),
    )


def _tinted(rng: np.random.Generator, level: float, tint: float) -> RGB:
    red, green, blue = level * np.exp(rng.normal(0.0, tint, 3))
    return float(red), float(green), float(blue)


def _light(
    position: tuple[float, float, float, float],
    color: RGB,
    ambient: RGB,
    sky: RGB,
    haze_m: float,
    shade: float = 1.0,
) -> Light:
    return Light(
        position=torch.tensor([position], dtype=torch.float32),
        color=torch.tensor([color], dtype=torch.float32),
        ambient=torch.tensor([ambient], dtype=torch.float32),
        sky=torch.tensor([sky], dtype=torch.float32),
        haze=torch.tensor([haze_m], dtype=torch.float32),
        shade=torch.tensor([shade], dtype=torch.float32),
    )
