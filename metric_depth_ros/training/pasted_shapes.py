# SPDX-License-Identifier: Apache-2.0
"""Random flat shapes in a view, and how far each of them is. NumPy and OpenCV.

Leaves and sticks around a place, what is left of a sheet with random holes, or a crowd of things
of all sizes that stand all over the view.

Source of the crowds: Lee et al., "Occlusion Models for Natural Images: A Statistical Study of a
Scale-Invariant Dead Leaves Model", IJCV 2001.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

_CELLS_PX = (3.0, 48.0)  # of the noise whose hills are blobs
_CLUSTER_PX = (24.0, 160.0)
_MOST_LEAVES = 90
_NEARER = (1.03, 3.0)  # than what is behind
_SPREAD = (0.004, 0.25)  # of the logarithm of depth, within a swarm
_MOST_IN_CROWD = 160
_RADII = 2.0, 0.25  # in a crowd: pixels, and share of the longer side
_SMALL_ONES = (1.0, 3.0)  # the larger, the more of a crowd is small
_CORNERS = 20
_RAGGED = 0.6
_BEFORE_FEET = 0.1  # by which things stand before the ground at their feet; logarithm


class Shapes(NamedTuple):
    """Flat things in an image.

    Parameters
    ----------
    labels
        (H, W) int32; 0 where there is none, else its number, counted from 1.
    centers
        (N + 1, 2) float32 pixels (x, y); the first is nothing's.
    inverse_depth
        (N + 1,) 1/m at the centers, growing with the number: later ones hide earlier ones.
    """

    labels: NDArray[np.int32]
    centers: NDArray[np.float32]
    inverse_depth: NDArray[np.float64]


def any_shapes(depth: NDArray[np.float32], rng: np.random.Generator) -> Shapes:
    """Draw leaves, blobs or a crowd, each as likely."""
    return (leaves, blobs, crowd)[int(rng.integers(3))](depth, rng)


def leaves(depth: NDArray[np.float32], rng: np.random.Generator) -> Shapes:
    """Draw ellipses, polygons and sticks around a random place of a view.

    Parameters
    ----------
    depth
        (H, W) meters of the view, +Inf in the sky, not everywhere.
    """
    height, width = depth.shape
    count = int(np.exp(rng.uniform(0.0, np.log(_MOST_LEAVES))))
    middle = rng.uniform(0.0, 1.0, 2) * (width, height)
    reach = log_uniform(rng, 0.03, 0.5) * max(width, height)
    length = log_uniform(rng, 4.0, 1.5 * reach + 5.0)
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
    return _swarm(labels, np.concatenate((middle[None], centers)), depth, rng)


def blobs(depth: NDArray[np.float32], rng: np.random.Generator) -> Shapes:
    """Cut random noise at a level, somewhere: what hangs together is one shape."""
    height, width = depth.shape
    cells = log_uniform(rng, *_CELLS_PX), log_uniform(rng, *_CELLS_PX)
    level = _noise(height, width, cells, rng)
    cluster = log_uniform(rng, *_CLUSTER_PX)
    place = _noise(height, width, (cluster, cluster), rng)
    solid = level > np.quantile(level, rng.uniform(0.3, 0.85))
    solid &= place > np.quantile(place, rng.uniform(0.4, 0.9))
    _, labels, _, centers = cv2.connectedComponentsWithStats(solid.astype(np.uint8))
    return _swarm(labels.astype(np.int32, copy=False), centers, depth, rng)


def crowd(depth: NDArray[np.float32], rng: np.random.Generator) -> Shapes:
    """Draw things of all sizes all over a view, each a little before what is at its feet."""
    height, width = depth.shape
    count = int(log_uniform(rng, 4.0, _MOST_IN_CROWD))
    smallest, largest = _RADII[0], _RADII[0] + _RADII[1] * max(height, width)
    small = rng.uniform(0.0, 1.0, count) ** rng.uniform(*_SMALL_ONES)
    radii = smallest * (largest / smallest) ** small
    radii = radii[:, None] * np.exp(rng.normal(0.0, rng.uniform(0.1, 0.7), (count, 2)))
    centers = rng.uniform(0.0, 1.0, (count, 2)) * (width, height)
    feet = np.stack((centers[:, 0], centers[:, 1] + radii[:, 1]), axis=1)
    column, row = np.minimum(feet, (width - 1, height - 1)).astype(np.intp).T
    ground = depth[row, column]
    endless = ~np.isfinite(ground)
    ground[endless] = depth[np.isfinite(depth)].max()
    inverse = np.exp(_BEFORE_FEET * np.abs(rng.standard_normal(count))) / ground
    order = np.argsort(inverse)
    outlines = (_unit_outlines(count, rng) * radii[:, None] + centers[:, None])[order]
    labels = np.zeros((height, width), np.int32)
    for number, outline in enumerate(outlines.round().astype(np.int32), start=1):
        cv2.fillPoly(labels, [outline], number)
    first = np.zeros((1, 2)), inverse[order][:1]
    return Shapes(
        labels,
        np.concatenate((first[0], centers[order])).astype(np.float32),
        np.concatenate((first[1], inverse[order])),
    )


def _unit_outlines(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (N, _CORNERS, 2) closed outlines of radius about 1: smooth, ragged or square."""
    angles = np.linspace(0.0, 2.0 * np.pi, _CORNERS, endpoint=False)
    radius = np.ones((count, _CORNERS))
    ragged = rng.uniform(0.0, _RAGGED)
    for waves in range(2, 8):
        phase = rng.uniform(0.0, 2.0 * np.pi, (count, 1))
        radius += ragged / waves * rng.standard_normal((count, 1)) * np.cos(waves * angles + phase)
    unit = np.stack((np.cos(angles), np.sin(angles)), axis=-1)
    square = unit / np.abs(unit).max(axis=-1, keepdims=True)
    squares = rng.random((count, 1, 1)) < rng.uniform(0.0, 1.0) ** 2
    outlines = np.where(squares, square, unit * radius.clip(0.1)[..., None])
    turn = rng.normal(0.0, rng.choice((0.05, 2.0)), count)
    c, s = np.cos(turn), np.sin(turn)
    return outlines @ np.stack((np.stack((c, s), -1), np.stack((-s, c), -1)), axis=-2)


def _swarm(
    labels: NDArray[np.int32],
    centers: NDArray[np.float64],
    depth: NDArray[np.float32],
    rng: np.random.Generator,
) -> Shapes:
    """Put shapes at about one distance: before most of what they hide."""
    behind = np.where(np.isfinite(depth), 1.0 / depth, 0.0)
    known = behind[(labels > 0) & (behind > 0.0)]
    if not len(known):
        known = behind[behind > 0.0]
    base = np.quantile(known, 0.8) * log_uniform(rng, *_NEARER)
    spread = log_uniform(rng, *_SPREAD)
    offsets = np.sort(spread * rng.standard_normal(len(centers)))
    return Shapes(labels, centers.astype(np.float32), base * np.exp(offsets))


def _noise(
    height: int, width: int, cell_px: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (H, W) smooth noise with hills of about the size (x, y) of a cell."""
    grid = rng.standard_normal(
        (max(2, round(height / cell_px[1])), max(2, round(width / cell_px[0])))
    )
    fine = cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return fine.astype(np.float32, copy=False)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
