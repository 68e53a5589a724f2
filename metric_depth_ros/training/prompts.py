# SPDX-License-Identifier: Apache-2.0
"""The prompts of training: the papers' random masking, and the sensors' own. NumPy only."""

from __future__ import annotations

import numpy as np

from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.simulation.sensors.patterns import random_points, valid
from metric_depth_ros.simulation.sensors.policy import draw_prompt
from metric_depth_ros.types import SparsePrompt

MASKED_POINTS = (2_000, 40_000)  # of the papers' canvas
CANVAS_PIXELS = 1536**2
_TRIES = 4
_FEW = (1, 200)


def masked_prompt(
    example: Example,
    rng: np.random.Generator,
    points: tuple[int, int] = MASKED_POINTS,
    canvas_pixels: int = CANVAS_PIXELS,
) -> SparsePrompt:
    """Keep a random part of an example's own depth: about 1 % of the pixels, drawn anew each time.

    Parameters
    ----------
    points, canvas_pixels
        Least and most points of an image of so many pixels; smaller images get fewer.

    Source: MetricAnything, section 3.2.
    """
    share = example.depth.size / canvas_pixels
    count = int(rng.integers(points[0], points[1] + 1) * share)
    return random_points(example.depth, max(1, count), rng)


def nonempty_prompt(example: Example, rng: np.random.Generator) -> SparsePrompt | None:
    """Draw what some sensor would see, never nothing; None where there is no depth to see."""
    for _ in range(_TRIES):
        prompt = draw_prompt(example, rng)
        if len(prompt):
            return prompt
    if not valid(example.depth).any():
        return None
    return random_points(example.depth, int(rng.integers(*_FEW)), rng)
