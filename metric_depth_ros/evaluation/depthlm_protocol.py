# SPDX-License-Identifier: Apache-2.0
"""DepthLM's evaluation: which pixel of which image, and what is right. Standard library only.

Source: DepthLM (2025), the facts of its evaluation, its oddities included.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

SEED = 42
_SCANNET_KEPT_FROM = 0.98


def solution(distance: float) -> str:
    """Return the true answer as evaluation writes it: with all digits."""
    return f'<answer> {distance} </answer>'


def record_order(records: int, *, scannet: bool) -> list[int]:
    """Return which records are asked about, in order.

    Parameters
    ----------
    records
        How many the list has.
    scannet
        Whether it is ScanNet++'s, of which the last two percent count, shuffled.
    """
    order = list(range(records))
    if scannet:
        order = order[int(_SCANNET_KEPT_FROM * records) :]
        random.Random(SEED).shuffle(order)
    return order


def point_order(points: int) -> Iterator[int]:
    """Yield which point sample 0, 1, 2, ... is of; its image is k modulo the number of images."""
    rng = random.Random(SEED)
    while True:
        yield rng.sample(range(points), 1)[0]


def served(sample: int, samples: int, can_be_marked: Callable[[int], bool]) -> int:
    """Return the sample that is really asked about: the next one whose pixel can be marked.

    The authors' evaluation thus counts the one after a pixel at the border twice.

    Parameters
    ----------
    sample
        That is due.
    samples
        How many there are.
    can_be_marked
        Whether there is room for the arrow at the pixel of a sample.
    """
    for step in range(samples):
        candidate = (sample + step) % samples
        if can_be_marked(candidate):
            return candidate
    raise ValueError('no sample can be marked')
