# SPDX-License-Identifier: Apache-2.0
"""Which example stands at which position of a training: a pure function of the seed.

Every position of an endless sequence has one example, whoever asks and whenever, so that a
training resumes exactly where it stopped and processes share the work without talking. NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Share:
    """How one source takes part.

    Parameters
    ----------
    groups
        Examples of each of its files, in order; what lies in one file is quick to read together.
    fraction
        Only the first part of its examples, in (0, 1].
    repeat
        How often an epoch visits each of them.
    """

    groups: tuple[int, ...]
    fraction: float = 1.0
    repeat: float = 1.0

    @property
    def size(self) -> int:
        """Number of different examples."""
        return max(1, int(self.fraction * sum(self.groups)))

    @property
    def visits(self) -> int:
        """Number of examples in an epoch."""
        return max(1, round(self.repeat * self.size))


class EpochOrder:
    """The order of several sources together.

    Parameters
    ----------
    shares
        The sources.
    seed
        Of the training.
    window
        Examples that are shuffled among each other at a time; what is farther apart is only moved
        file by file, which spares a disk or a network. 0 shuffles everything.
    """

    def __init__(self, shares: Sequence[Share], seed: int, window: int = 0) -> None:
        self._shares = tuple(shares)
        self._seed = seed
        self._window = window
        self.visits_per_epoch = sum(share.visits for share in shares)

    def at(self, position: int) -> tuple[int, int]:
        """Return (source, example) at a position counted from the beginning of the training."""
        epoch, place = divmod(position, self.visits_per_epoch)
        order = _epoch(self._shares, self._seed, self._window, epoch)
        source, example = order[place]
        return int(source), int(example)


@lru_cache(maxsize=2)
def _epoch(shares: tuple[Share, ...], seed: int, window: int, epoch: int) -> NDArray[np.int64]:
    """Return (visits, 2): source and example, spread evenly over the epoch."""
    rng = np.random.default_rng((seed, epoch))
    parts, keys = [], []
    for source, share in enumerate(shares):
        visited = _visits(share, window, rng)
        parts.append(np.stack((np.full_like(visited, source), visited), axis=1))
        keys.append((np.arange(len(visited)) + rng.random(len(visited))) / len(visited))
    return np.concatenate(parts)[np.argsort(np.concatenate(keys), kind='stable')]


def _visits(share: Share, window: int, rng: np.random.Generator) -> NDArray[np.int64]:
    rounds = -(-share.visits // share.size)
    visited = np.concatenate([_shuffled(share, window, rng) for _ in range(rounds)])
    return visited[: share.visits]


def _shuffled(share: Share, window: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if not window:
        return rng.permutation(share.size).astype(np.int64)
    ends = np.cumsum(share.groups)
    files = [np.arange(end - count, end) for end, count in zip(ends, share.groups, strict=True)]
    order = np.concatenate([files[i] for i in rng.permutation(len(files))])
    order = order[order < share.size]
    for start in range(0, len(order), window):
        rng.shuffle(order[start : start + window])
    return order.astype(np.int64)
