# SPDX-License-Identifier: Apache-2.0
"""Worlds of a few solids, whose geometry can be written down, for tests of sensors."""

import torch

from metric_depth_ros.simulation.world import Light, WorldBuilder


def wall_world(*walls, gray=0.5, gloss=0.0, ground=True):
    """Return a world with walls across the x axis.

    Each wall is (x of its face, y from, y to), 40 m high.
    """
    build = WorldBuilder()
    color = (gray, gray, gray)
    surface = build.material(color, color, gloss=gloss)
    build.ground(surface)
    for x, left, right in walls:
        build.box((x + 0.5, (left + right) / 2, 0.0), (1.0, right - left, 40.0), surface)
    return build.build(daylight())


def daylight():
    """Return light from above."""
    return Light(
        position=torch.tensor([[0.0, 0.0, 1.0, 0.0]]),
        color=torch.ones(1, 3),
        ambient=torch.ones(1, 3),
        sky=torch.ones(1, 3),
        haze=torch.tensor([1e3]),
        shade=torch.ones(1),
    )
