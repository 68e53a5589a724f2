# SPDX-License-Identifier: Apache-2.0
"""What things are made of: materials by name, natural ones or ones drawn at random.

Depth must not be told by albedo, so a world may draw any share of its materials freely: any two
colors, any pattern, periods over two decades.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metric_depth_ros.simulation.world import RGB, Pattern, Vector, WorldBuilder, linear

_SHIFT_PERIODS = 16.0

PATTERNS = (
    Pattern.PLAIN, Pattern.NOISE, Pattern.CHECKER, Pattern.STRIPES, Pattern.WOOD, Pattern.BRICKS,
    Pattern.TILES, Pattern.DOTS,
)  # fmt: skip
UNSEEN_PATTERNS = (Pattern.PLAIN, Pattern.PATCHES, Pattern.GLYPHS, Pattern.WAVES)


class _Look(NamedTuple):
    """A natural material: 8-bit sRGB colors to choose from, and the second color's part of it."""

    colors: tuple[tuple[int, int, int], ...]
    second: float = 0.7
    pattern: Pattern = Pattern.NOISE
    period: float = 0.3
    gloss: float = 0.0


_PAINTS = (
    (190, 36, 40), (36, 70, 140), (214, 214, 216), (40, 42, 46), (120, 126, 132), (228, 188, 60),
    (34, 96, 76), (240, 240, 240), (96, 40, 60), (168, 172, 178), (24, 26, 30),
)  # fmt: skip
_CLOTHES = (
    (48, 52, 70), (150, 44, 48), (96, 120, 150), (70, 70, 66), (200, 190, 170), (60, 96, 70),
    (176, 140, 60), (120, 60, 110), (30, 32, 36), (214, 120, 80),
)  # fmt: skip
_NATURAL = {
    'asphalt': _Look(((92, 92, 96), (70, 70, 74), (118, 114, 110)), 0.75, Pattern.NOISE, 1.2),
    'bark': _Look(((96, 74, 56), (120, 104, 88), (60, 48, 40)), 0.5, Pattern.NOISE, 0.08),
    'book': _Look(_CLOTHES + _PAINTS, 0.7, Pattern.NOISE, 0.04),
    'brick': _Look(((120, 90, 78), (160, 96, 74), (150, 140, 126)), 1.5, Pattern.BRICKS, 0.5),
    'cardboard': _Look(((176, 140, 100), (196, 166, 124)), 0.85, Pattern.NOISE, 0.2),
    'china': _Look(
        ((230, 230, 226), (70, 84, 110), (200, 160, 120)), 0.9, Pattern.PLAIN, 0.1, 0.6
    ),
    'cloth': _Look(_CLOTHES, 0.75, Pattern.NOISE, 0.05),
    'concrete': _Look(
        ((150, 146, 140), (126, 123, 118), (176, 172, 164)), 0.8, Pattern.NOISE, 0.8
    ),
    'facade': _Look(
        ((176, 132, 108), (198, 186, 160), (150, 152, 158), (204, 200, 196), (110, 112, 118)),
        0.25,
        Pattern.WINDOWS,
        2.8,
        0.15,
    ),
    'fruit': _Look(
        ((186, 40, 36), (226, 120, 36), (140, 170, 50), (228, 196, 70)),
        0.8,
        Pattern.NOISE,
        0.05,
        0.3,
    ),
    'glass': _Look(((30, 36, 44), (60, 120, 74), (48, 60, 74)), 0.8, Pattern.PLAIN, 0.3, 0.9),
    'grass': _Look(
        ((92, 122, 52), (120, 128, 66), (70, 100, 48), (150, 136, 90)), 0.5, Pattern.NOISE, 0.4
    ),
    'lamp': _Look(((170, 40, 36), (240, 226, 190), (250, 180, 60)), 0.9, Pattern.PLAIN, 0.1, 0.5),
    'leaf': _Look(
        ((74, 116, 52), (60, 96, 44), (96, 128, 58), (126, 120, 50)), 0.25, Pattern.NOISE, 0.15
    ),
    'metal': _Look(
        ((96, 100, 104), (150, 152, 156), (60, 62, 66), (186, 188, 190)),
        0.85,
        Pattern.NOISE,
        0.05,
        0.5,
    ),
    'paint': _Look(_PAINTS, 0.9, Pattern.PLAIN, 0.3, 0.7),
    'paper': _Look(((232, 230, 222), (214, 214, 208)), 0.9, Pattern.PLAIN, 0.1),
    'parquet': _Look(
        ((172, 124, 84), (130, 92, 62), (196, 160, 120)), 0.7, Pattern.WOOD, 0.14, 0.15
    ),
    'paving': _Look(((150, 146, 140), (132, 122, 112)), 0.7, Pattern.TILES, 0.5),
    'plaster': _Look(
        ((214, 206, 190), (232, 232, 228), (196, 204, 206), (220, 200, 168), (180, 190, 176)),
        0.93,
        Pattern.NOISE,
        0.8,
    ),
    'plastic': _Look(_PAINTS, 0.9, Pattern.PLAIN, 0.1, 0.35),
    'road': _Look(((92, 92, 96), (74, 74, 78), (112, 110, 106)), 2.4, Pattern.ROAD, 6.0),
    'rock': _Look(((128, 122, 114), (110, 96, 84), (158, 150, 138)), 0.55, Pattern.NOISE, 0.5),
    'rubber': _Look(((28, 28, 30), (40, 40, 42)), 1.8, Pattern.NOISE, 0.4),
    'rug': _Look(_CLOTHES, 2.0, Pattern.CHECKER, 0.22),
    'screen': _Look(((20, 22, 26), (40, 60, 90)), 0.9, Pattern.PLAIN, 0.2, 0.7),
    'skin': _Look(((206, 164, 140), (150, 106, 80), (96, 66, 50)), 0.9, Pattern.NOISE, 0.1),
    'soil': _Look(((126, 104, 78), (150, 130, 100), (100, 84, 66)), 0.6, Pattern.NOISE, 0.7),
    'tiles': _Look(
        ((146, 142, 136), (206, 204, 198), (120, 96, 84)), 0.75, Pattern.TILES, 0.4, 0.2
    ),
    'wallpaper': _Look(
        ((138, 160, 160), (200, 184, 150), (170, 150, 170)), 0.85, Pattern.STRIPES, 0.24
    ),
    'wood': _Look(
        ((186, 140, 94), (120, 80, 52), (206, 190, 166), (66, 58, 54)),
        0.7,
        Pattern.WOOD,
        0.12,
        0.2,
    ),
}


class Looks:
    """Draws the materials of one world.

    Parameters
    ----------
    build
        Where they are added.
    rng
        Chance.
    freedom
        Share of the materials that have nothing in common with their name.
    patterns
        Patterns of the free ones.
    """

    def __init__(
        self,
        build: WorldBuilder,
        rng: np.random.Generator,
        freedom: float = 0.0,
        patterns: tuple[Pattern, ...] = PATTERNS,
    ) -> None:
        self._build, self._rng = build, rng
        self._freedom, self._patterns = freedom, patterns

    def __call__(self, name: str) -> int:
        """Add a material of this name to the world and return its number."""
        if self._rng.random() < self._freedom:
            return self.free()
        rng, look = self._rng, _NATURAL[name]
        shade = look.colors[rng.integers(len(look.colors))]
        tint = np.clip(np.array(shade) + rng.integers(-8, 9, 3), 0, 255)
        color = linear(int(tint[0]), int(tint[1]), int(tint[2]))
        second = _scaled(color, look.second**2.2)
        period = look.period * float(rng.uniform(0.85, 1.2))
        return self._build.material(
            color, second, look.pattern, period, look.gloss, self._anywhere()
        )

    def free(self) -> int:
        """Add a material of any colors, pattern, size and gloss."""
        rng = self._rng
        color = random_color(rng)
        second = _scaled(color, float(rng.uniform(0.3, 1.6)))
        if rng.random() < 0.4:
            second = random_color(rng)
        pattern = self._patterns[rng.integers(len(self._patterns))]
        period = float(np.exp(rng.uniform(np.log(0.02), np.log(2.5))))
        gloss = float(rng.choice((0.0, rng.uniform(0.0, 0.4), rng.uniform(0.3, 1.0))))
        return self._build.material(color, second, pattern, period, gloss, self._anywhere())

    def _anywhere(self) -> Vector:
        x, y, z = self._rng.uniform(0.0, _SHIFT_PERIODS, 3)
        return float(x), float(y), float(z)


def random_color(rng: np.random.Generator) -> RGB:
    """Return a linear color: any brightness from soot to snow, mostly little saturated."""
    value = np.exp(rng.uniform(np.log(0.03), np.log(0.85)))
    saturation = rng.beta(1.2, 2.2)
    hue = rng.dirichlet((0.7, 0.7, 0.7))
    red, green, blue = value * (1.0 - saturation + saturation * hue / hue.max())
    return float(red), float(green), float(blue)


def _scaled(color: RGB, factor: float) -> RGB:
    r, g, b = (min(1.0, factor * c) for c in color)
    return r, g, b
