# SPDX-License-Identifier: Apache-2.0
"""Where depth errs: by distance, by confidence, and in which frames. NumPy only.

Frames are added one at a time; what stays in memory is sums, and the few worst frames.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.evaluation.charts import Chart, Curve, histogram, line_chart

T = TypeVar('T')

_DISTANCE_EDGES = 2.0 ** np.arange(-2.0, 8.01, 0.5)  # 0.25 m to 256 m
_CONFIDENCE_BINS = 10
GOOD_RELATIVE_ERROR = 0.05
_FEWEST_PIXELS = 100  # that a point of a curve stands for
_FEWEST_TIMES = 3  # that make a histogram


class ErrorProfile:
    """Relative errors by distance and by confidence, over all frames that were added."""

    def __init__(self) -> None:
        bins = len(_DISTANCE_EDGES) - 1
        self._distance_pixels = np.zeros(bins)
        self._distance_error = np.zeros(bins)
        self._distance_unknown = np.zeros(bins)
        self._confidence_pixels = np.zeros(_CONFIDENCE_BINS)
        self._confidence_good = np.zeros(_CONFIDENCE_BINS)
        self._confidence_error = np.zeros(_CONFIDENCE_BINS)

    def add(
        self,
        depth: NDArray[np.float32],
        ground_truth: NDArray[np.float32],
        confidence: NDArray[np.float32] | None = None,
    ) -> None:
        """Add a frame.

        Parameters
        ----------
        depth, ground_truth
            (H, W) meters; NaN = unknown. A pixel with ground truth and without depth counts as
            unknown, not as an error.
        confidence
            (H, W) in [0, 1], or None.
        """
        measured = np.isfinite(ground_truth) & (ground_truth > 0.0)
        known = measured & np.isfinite(depth)
        truth = ground_truth[known]
        error = np.abs(depth[known] - truth) / truth
        place = _bin_of(truth)
        bins = len(self._distance_pixels)
        self._distance_pixels += np.bincount(place, minlength=bins)
        self._distance_error += np.bincount(place, error, minlength=bins)
        self._distance_unknown += np.bincount(
            _bin_of(ground_truth[measured & ~known]), minlength=bins
        )
        if confidence is not None:
            shares = np.nan_to_num(confidence[known]) * _CONFIDENCE_BINS
            place = np.clip(shares.astype(np.intp), 0, _CONFIDENCE_BINS - 1)
            for sums, weights in (
                (self._confidence_pixels, np.ones_like(error)),
                (self._confidence_good, (error <= GOOD_RELATIVE_ERROR).astype(np.float32)),
                (self._confidence_error, error),
            ):
                sums += np.bincount(place, weights, minlength=_CONFIDENCE_BINS)

    def distance(self) -> tuple[Curve, Curve]:
        """Return mean relative error, and the share without depth, over distance in meters."""
        total = self._distance_pixels + self._distance_unknown
        shown = total >= _FEWEST_PIXELS
        middle = np.sqrt(_DISTANCE_EDGES[:-1] * _DISTANCE_EDGES[1:])[shown].tolist()
        error = _ratio(self._distance_error, self._distance_pixels)[shown].tolist()
        unknown = _ratio(self._distance_unknown, total)[shown].tolist()
        return Curve('mean relative error', middle, error), Curve('no depth', middle, unknown)

    def calibration(self) -> tuple[Curve, Curve]:
        """Return the share of good pixels and the mean relative error over confidence."""
        shown = self._confidence_pixels >= _FEWEST_PIXELS
        middle = ((np.arange(_CONFIDENCE_BINS) + 0.5) / _CONFIDENCE_BINS)[shown].tolist()
        good = _ratio(self._confidence_good, self._confidence_pixels)[shown].tolist()
        error = _ratio(self._confidence_error, self._confidence_pixels)[shown].tolist()
        return (
            Curve(f'within {100 * GOOD_RELATIVE_ERROR:g} %', middle, good),
            Curve('mean relative error', middle, error),
        )

    def charts(self, latencies_ms: Sequence[float]) -> list[Chart]:
        """Return what there is to draw: errors by distance and confidence, and times."""
        charts = [
            line_chart(
                self.distance(),
                'distance, m',
                'share',
                'Error against distance: mean of |depth − truth| / truth, and the share of pixels '
                'with ground truth that got no depth',
                log_x=True,
            )
        ]
        if self._confidence_pixels.any():
            charts.append(
                line_chart(
                    self.calibration(),
                    'confidence',
                    'share',
                    f'Calibration: share of pixels within {100 * GOOD_RELATIVE_ERROR:g} % of the '
                    'truth, by confidence. Where the curve rises, confidence orders the pixels '
                    'rightly; on the dashed line it would be that share itself',
                    diagonal=True,
                )
            )
        if len(latencies_ms) >= _FEWEST_TIMES:
            charts.append(histogram(latencies_ms, 'time of a frame, ms', 'Latency'))
        return charts


class WorstFrames(Generic[T]):
    """The frames with the largest error.

    Parameters
    ----------
    count
        How many are kept.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._heap: list[tuple[float, int, T]] = []
        self._order = itertools.count()

    def add(self, error: float, frame: T) -> None:
        """Take a frame; one whose error is not known is left out."""
        if not math.isfinite(error) or not self._count:
            return
        entry = (error, -next(self._order), frame)  # of equal ones the first is kept
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def worst_first(self) -> list[tuple[float, T]]:
        """Return errors and frames, the worst first."""
        return [(error, frame) for error, _, frame in sorted(self._heap, reverse=True)]


def _bin_of(meters: NDArray[np.float32]) -> NDArray[np.intp]:
    place = np.searchsorted(_DISTANCE_EDGES, meters, side='right') - 1
    return np.clip(place, 0, len(_DISTANCE_EDGES) - 2)


def _ratio(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sums over counts, NaN where nothing was counted."""
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.where(counts > 0, sums / counts, np.nan)
