# SPDX-License-Identifier: Apache-2.0
"""Fair timing on a busy machine: candidates take turns, ratios are formed round by round.

Standard library and NumPy only. Wall times on a shared processor are noisy; the ratio of two
calls that ran one after the other is much less so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Row:
    """One measured part.

    Parameters
    ----------
    name
        What was measured.
    p50_ms, p99_ms
        Wall time per call in milliseconds.
    baseline
        Name of the row that the ratio refers to; its own name for the baseline itself.
    ratio
        Median over the rounds of this part's time over the baseline's.
    bar
        Largest ratio that is accepted, or None where none is set.
    """

    name: str
    p50_ms: float
    p99_ms: float
    baseline: str
    ratio: float
    bar: float | None = None

    @property
    def within_bar(self) -> bool:
        """False where the ratio exceeds its bar."""
        return self.bar is None or self.ratio <= self.bar

    def as_dict(self) -> dict[str, object]:
        """Return the row for JSON."""
        return {**asdict(self), 'within_bar': self.within_bar}


def race(
    candidates: Mapping[str, Callable[[], object]],
    rounds: int,
    bars: Mapping[str, float] | None = None,
) -> list[Row]:
    """Time callables in turns; the first is the baseline of the others.

    Parameters
    ----------
    candidates
        Callables by name, in the order in which they run in every round.
    rounds
        Rounds after one that is not counted (caches, first allocations).
    bars
        Largest accepted ratio by name.

    Returns
    -------
    list of Row
        One row a candidate, in order.
    """
    times_ms = np.array(
        [[_elapsed_ms(call) for call in candidates.values()] for _ in range(rounds + 1)]
    )[1:]
    baseline = next(iter(candidates))
    return [
        Row(
            name,
            float(np.percentile(times_ms[:, i], 50)),
            float(np.percentile(times_ms[:, i], 99)),
            baseline,
            float(np.median(times_ms[:, i] / times_ms[:, 0])),
            (bars or {}).get(name),
        )
        for i, name in enumerate(candidates)
    ]


def processor_ms(call: Callable[[], object]) -> float:
    """Return the processor time that a call takes in this thread, in milliseconds."""
    start = time.thread_time()
    call()
    return 1e3 * (time.thread_time() - start)


def _elapsed_ms(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)
