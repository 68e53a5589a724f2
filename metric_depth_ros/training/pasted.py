# SPDX-License-Identifier: Apache-2.0
"""Shapes pasted in front of a view: leaves, rags, nets, sticks, that no world is made of.

What a network learns of silhouettes then is not only what the simulator's solids have. Everything
follows: image, depth, and the points of sensors whose rays the shapes stop. NumPy.

Source of the idea, for optical flow: Sun et al., "AutoFlow", CVPR 2021.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.pasted_looks import colors_of, laid_over, shadows_of
from metric_depth_ros.training.pasted_shapes import Shapes, any_shapes
from metric_depth_ros.types import SparsePrompt

_MOST_GROUPS = 3
_TILT = 0.6  # relative change of inverse depth across the image's width
_NEAREST_M = 0.1
_SHADOWED_SHARE, _SHADOW_ALONE_SHARE = 0.5, 0.25  # of the groups; of the views
_BLUR_PX = 0.9
_NOISE_LIMITS = 0.95, 1.05  # of a point's depth over the truth, to be taken for its noise
_UNSTOPPED = ('radar',)  # its returns have no height


def with_pasted_shapes(example: Example, rng: np.random.Generator) -> Example:
    """Return a view with one to three groups of random shapes before what it shows.

    A group is a swarm of leaves or sticks, what is left of a sheet with random holes, or a crowd
    of things that stand all over the view. Every shape is a plane of its own. What is nearer than
    a shape hides it. Some cast shadows, and so do some that are not in the view at all: not every
    edge of the image is one of depth. A view of nothing but sky stays as it is: nothing says how
    far a shape would be.
    """
    if not np.isfinite(example.depth).any():
        return example
    image, depth = example.image.astype(np.float32), example.depth
    if rng.random() < _SHADOW_ALONE_SHARE:
        unseen = any_shapes(depth, rng)
        image *= shadows_of(unseen.labels, unseen.labels < 0, rng)
    for _ in range(int(rng.integers(1, _MOST_GROUPS + 1))):
        shapes = any_shapes(depth, rng)
        surface = _surface_of(shapes, depth.shape, rng)
        seen = surface < depth
        depth = np.where(seen, surface, depth)
        blur_px = float(rng.uniform(0.0, _BLUR_PX))
        colors = colors_of(shapes, example.image, rng)
        image = laid_over(image, colors, seen.astype(np.float32), blur_px)
        if rng.random() < _SHADOWED_SHARE:
            image *= shadows_of(shapes.labels, ~seen, rng)
    sensors = {
        name: points if name in _UNSTOPPED else _stopped(points, example.depth, depth)
        for name, points in example.sensors.items()
    }
    return replace(
        example, image=image.clip(0, 255).astype(np.uint8), depth=depth, sensors=sensors
    )


def _surface_of(
    shapes: Shapes, size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (H, W) depth of the shapes, each a plane of its own, +Inf beside them."""
    labels, centers, inverse_depth = shapes
    tilts = _TILT * rng.standard_normal((len(centers), 2)) / size[1]
    rows, columns = np.nonzero(labels)
    number = labels[rows, columns]
    away = np.stack((columns, rows), axis=1) - centers[number]
    slope = (1.0 + (tilts[number] * away).sum(axis=1)).clip(0.5, 2.0)
    surface = np.full(size, np.inf, np.float32)
    surface[rows, columns] = 1.0 / np.minimum(inverse_depth[number] * slope, 1.0 / _NEAREST_M)
    return surface


def _stopped(
    points: SparsePrompt, before: NDArray[np.float32], after: NDArray[np.float32]
) -> SparsePrompt:
    """Return points with the depth of the shape that stops their rays, and their own noise."""
    last = before.shape[1] - 1, before.shape[0] - 1  # a point may lie on the very border
    column, row = points.uv.round().astype(np.intp).clip(0, last).T
    old, new = before[row, column], after[row, column]
    with np.errstate(invalid='ignore'):
        noise = np.nan_to_num(points.depth / old, nan=1.0)
    noise = np.where((noise > _NOISE_LIMITS[0]) & (noise < _NOISE_LIMITS[1]), noise, 1.0)
    hit = (new < old) & (new < points.depth)
    depth = np.where(hit, new * noise, points.depth).astype(np.float32)
    return replace(points, depth=depth)
