# SPDX-License-Identifier: Apache-2.0
"""Shapes pasted in front of a view: leaves, rags, nets, sticks, that no world is made of.

What a network learns of silhouettes then is not only what the simulator's solids have. Everything
follows: image, depth, and the points of sensors whose rays the shapes stop. NumPy and OpenCV.

Source of the idea, for optical flow: Sun et al., "AutoFlow", CVPR 2021.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.types import SparsePrompt

_MOST_GROUPS = 3
_CELLS_PX = (3.0, 48.0)  # of the noise whose hills are blobs
_CLUSTER_PX = (24.0, 160.0)
_MOST_LEAVES = 90
_NEARER = (1.03, 3.0)  # than what is behind
_SPREAD = (0.004, 0.25)  # of the logarithm of depth, within a group
_TILT = 0.6  # relative change of inverse depth across the image's width
_NEAREST_M = 0.1
_PLAIN_SHARE = 0.3
_TINT, _SHADE = 0.12, 0.25  # standard deviations of logarithms
_BLUR_PX = 0.9
_NOISE_LIMITS = 0.95, 1.05  # of a point's depth over the truth, to be taken for its noise
_UNSTOPPED = ('radar',)  # its returns have no height


class _Shapes(NamedTuple):
    """Flat things in an image.

    Parameters
    ----------
    labels
        (H, W) int32; 0 where there is none, else its number, counted from 1.
    centers
        (N + 1, 2) float32 pixels (x, y); the first is nothing's.
    """

    labels: NDArray[np.int32]
    centers: NDArray[np.float32]


def with_pasted_shapes(example: Example, rng: np.random.Generator) -> Example:
    """Return a view with one to three groups of random shapes before what it shows.

    A group is a swarm of leaves or sticks, or what is left of a sheet with random holes. Every
    shape is a plane of its own. What is nearer than a shape hides it. A view of nothing but sky
    stays as it is: nothing says how far a shape would be.
    """
    if not np.isfinite(example.depth).any():
        return example
    image, depth = example.image.astype(np.float32), example.depth
    for _ in range(int(rng.integers(1, _MOST_GROUPS + 1))):
        height, width = depth.shape
        draw = _leaves if rng.random() < 0.5 else _blobs
        shapes = draw(height, width, rng)
        surface = _depth_of(shapes, depth, rng)
        seen = surface < depth
        depth = np.where(seen, surface, depth)
        opaque = seen.astype(np.float32)
        blur = float(rng.uniform(0.0, _BLUR_PX))
        if blur > 0.2:
            opaque = cv2.GaussianBlur(opaque, (0, 0), blur).astype(np.float32)
        image += opaque[..., None] * (_color_of(shapes, example.image, rng) - image)
    sensors = {
        name: points if name in _UNSTOPPED else _stopped(points, example.depth, depth)
        for name, points in example.sensors.items()
    }
    return replace(
        example, image=image.clip(0, 255).astype(np.uint8), depth=depth, sensors=sensors
    )


def _leaves(height: int, width: int, rng: np.random.Generator) -> _Shapes:
    """Draw ellipses, polygons and sticks around a random place."""
    count = int(np.exp(rng.uniform(0.0, np.log(_MOST_LEAVES))))
    middle = rng.uniform(0.0, 1.0, 2) * (width, height)
    reach = _log_uniform(rng, 0.03, 0.5) * max(width, height)
    length = _log_uniform(rng, 4.0, 1.5 * reach + 5.0)
    slender = rng.uniform(0.03, 1.0)
    centers = middle + reach * rng.standard_normal((count, 2))
    labels = np.zeros((height, width), np.int32)
    corners = int(rng.choice((0, 0, 3, 4, 5)))
    for number, (x, y) in enumerate(centers, start=1):
        half = 0.5 * length * np.exp(0.4 * rng.standard_normal())
        turn = rng.uniform(0.0, 360.0)
        axes = max(1, round(half)), max(1, round(half * slender))
        if corners:
            angles = np.sort(rng.uniform(0.0, 2.0 * np.pi, corners))
            unit = np.stack((np.cos(angles), np.sin(angles)), axis=1) * axes
            c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
            outline = unit @ np.array(((c, s), (-s, c))) + (x, y)
            cv2.fillPoly(labels, [outline.round().astype(np.int32)], number)
        else:
            cv2.ellipse(labels, (round(x), round(y)), axes, turn, 0, 360, number, cv2.FILLED)
    return _Shapes(labels, np.concatenate((middle[None], centers)).astype(np.float32))


def _blobs(height: int, width: int, rng: np.random.Generator) -> _Shapes:
    """Cut random noise at a level, somewhere: what hangs together is one shape."""
    cells = _log_uniform(rng, *_CELLS_PX), _log_uniform(rng, *_CELLS_PX)
    level = _noise(height, width, cells, rng)
    cluster = _log_uniform(rng, *_CLUSTER_PX)
    place = _noise(height, width, (cluster, cluster), rng)
    solid = level > np.quantile(level, rng.uniform(0.3, 0.85))
    solid &= place > np.quantile(place, rng.uniform(0.4, 0.9))
    _, labels, _, centers = cv2.connectedComponentsWithStats(solid.astype(np.uint8))
    return _Shapes(labels.astype(np.int32, copy=False), centers.astype(np.float32))


def _noise(
    height: int, width: int, cell_px: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (H, W) smooth noise with hills of about the size (x, y) of a cell."""
    grid = rng.standard_normal(
        (max(2, round(height / cell_px[1])), max(2, round(width / cell_px[0])))
    )
    fine = cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return fine.astype(np.float32, copy=False)


def _depth_of(
    shapes: _Shapes, depth: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (H, W) depth of the shapes, +Inf beside them: before most of what is behind them."""
    labels, centers = shapes
    covered = labels > 0
    behind = np.where(np.isfinite(depth), 1.0 / depth, 0.0)
    known = behind[covered & (behind > 0.0)]
    if not len(known):
        known = behind[behind > 0.0]
    base = np.quantile(known, 0.8) * _log_uniform(rng, *_NEARER)
    spread = _log_uniform(rng, *_SPREAD)
    # Later ones were drawn over earlier ones: they are nearer.
    offsets = np.sort(spread * rng.standard_normal(len(centers)))
    tilts = _TILT * rng.standard_normal((len(centers), 2)) / depth.shape[1]
    rows, columns = np.nonzero(covered)
    number = labels[rows, columns]
    away = np.stack((columns, rows), axis=1) - centers[number]
    slope = (1.0 + (tilts[number] * away).sum(axis=1)).clip(0.5, 2.0)
    inverse = np.minimum(base * np.exp(offsets[number]) * slope, 1.0 / _NEAREST_M)
    surface = np.full(depth.shape, np.inf, np.float32)
    surface[rows, columns] = 1.0 / inverse
    return surface


def _color_of(
    shapes: _Shapes, image: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (H, W, 3) colors: plain or another part of the image, each shape in a tint."""
    labels, centers = shapes
    height, width = labels.shape
    h, w = (max(1, int(side * rng.uniform(0.1, 1.0))) for side in (height, width))
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    part = image[y : y + h, x : x + w].astype(np.float32)
    if rng.random() < _PLAIN_SHARE:
        part = part[:1, :1]
    color = cv2.resize(cv2.flip(part, int(rng.integers(-1, 2))), (width, height))
    tints = np.exp(
        _SHADE * rng.standard_normal((len(centers), 1))
        + _TINT * rng.standard_normal(3)
        + rng.uniform(0.0, _TINT) * rng.standard_normal((len(centers), 3))
    )
    return color.astype(np.float32, copy=False) * tints.astype(np.float32)[labels]


def _stopped(
    points: SparsePrompt, before: NDArray[np.float32], after: NDArray[np.float32]
) -> SparsePrompt:
    """Return points with the depth of the shape that stops their rays, and their own noise."""
    column, row = points.uv.round().astype(np.intp).T
    old, new = before[row, column], after[row, column]
    with np.errstate(invalid='ignore'):
        noise = np.nan_to_num(points.depth / old, nan=1.0)
    noise = np.where((noise > _NOISE_LIMITS[0]) & (noise < _NOISE_LIMITS[1]), noise, 1.0)
    hit = (new < old) & (new < points.depth)
    depth = np.where(hit, new * noise, points.depth).astype(np.float32)
    return replace(points, depth=depth)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
