# SPDX-License-Identifier: Apache-2.0
"""What DepthLM is trained on: samples of images, and how their answers are written.

Imports NumPy and `networks`.

Source: DepthLM (2025), its oddities included.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.networks.depthlm_images import UnifiedImage, unify


def trained_solution(distance: float) -> str:
    """Return the true answer as training writes it: with two digits after the point."""
    return f'<answer> {distance:.2f} </answer>'


class TrainingSample(NamedTuple):
    """What the model is trained on.

    Parameters
    ----------
    image
        (H, W, 3) uint8 with the arrow in it.
    distance
        m from the camera's center.
    """

    image: NDArray[np.uint8]
    distance: float


def training_sample(
    images: Sequence[NDArray[np.uint8]],
    records: Sequence[Mapping[str, Any]],
    index: int,
    *,
    focal_px: float,
    heights: tuple[int, int],
    widths: tuple[int, int],
    seed: int,
) -> TrainingSample:
    """Cut a random piece out of the middle of an image and mark one of its points.

    An image of which the drawn point lies at the border is given up for the next one.

    Parameters
    ----------
    images
        (H, W, 3) uint8 RGB each.
    records
        Of each image: ``intrinsics`` (fx, fy, cx, cy first), ``pixel_coords``, ``depth`` m
        (distances).
    index
        Of the image that is tried first.
    focal_px
        Focal length of the model.
    heights, widths
        Between which the size is drawn.
    seed
        Of the draws.
    """
    rng = random.Random(seed)
    while True:
        rng.random()  # the authors draw the dataset first
        record = records[index]
        unified = unify(images[index], tuple(record['intrinsics'][:4]), focal_px)
        cut = _middle(unified, rng.uniform(*heights), rng.uniform(*widths))
        point = _drawn_point(cut, record['pixel_coords'], rng)
        if point is not None:
            pixel = cut.pixel(record['pixel_coords'][point])
            if cut.can_be_marked(pixel):
                return TrainingSample(cut.marked(pixel), float(record['depth'][point]))
        index = (index + 1) % len(records)


def _middle(unified: UnifiedImage, height: float, width: float) -> UnifiedImage:
    whole_height, whole_width = unified.resized.shape[:2]
    height, width = int(min(whole_height, height)), int(min(whole_width, width))
    return unified.cut((whole_width - width) // 2, (whole_height - height) // 2, width, height)


def _drawn_point(
    cut: UnifiedImage, pixels: Sequence[Sequence[int]], rng: random.Random
) -> int | None:
    """Return a random point, or the one inside that is listed nearest to it."""
    drawn = rng.randint(0, len(pixels) - 1)
    inside = [index for index, pixel in enumerate(pixels) if cut.contains(cut.pixel(pixel))]
    return min(inside, key=lambda index: (abs(index - drawn), index), default=None)
