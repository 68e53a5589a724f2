# SPDX-License-Identifier: Apache-2.0
"""A report's section about scored frames: the worst first, and where errors come from.

Frames are added one at a time; pictures of the worst few stay in memory, figures of the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.evaluation.charts import Chart, histogram
from metric_depth_ros.evaluation.metrics import error_sums
from metric_depth_ros.evaluation.pictures import fit
from metric_depth_ros.evaluation.profiles import ErrorProfile, WorstFrames
from metric_depth_ros.evaluation.report import Figure, Section, Table
from metric_depth_ros.evaluation.result_pictures import result_pictures
from metric_depth_ros.types import DepthEstimate, Frame

_LISTED = 8  # frames in the table
_PICTURES_IN_ALL = 6  # frames with pictures in a report of several sections
_PICTURE_PX = (440, 330)  # a little more than a report shows: files stay small


@dataclass(frozen=True, eq=False)
class _Row:
    name: str
    frame: Frame
    estimate: DepthEstimate
    ground_truth: NDArray[np.float32] | None
    elapsed_ms: float


class _Worst:
    """The worst frames by one measure: figures of some, pictures of the first of them."""

    def __init__(self, pictured: int) -> None:
        self.listed: WorstFrames[tuple[str, int, float, float]] = WorstFrames(_LISTED)
        self.pictured: WorstFrames[_Row] = WorstFrames(pictured)

    def add(self, error: float, pixels: int, row: _Row) -> None:
        coverage = float(np.isfinite(row.estimate.depth).mean())
        self.listed.add(error, (row.name, pixels, coverage, row.elapsed_ms))
        self.pictured.add(error, row)


class ErrorReport:
    """Gather what a section shows of its frames.

    Parameters
    ----------
    pictured
        Frames with pictures.
    """

    def __init__(self, pictured: int = 3) -> None:
        self._profile = ErrorProfile()
        self._by_error, self._by_time = _Worst(pictured), _Worst(pictured)
        self._elapsed_ms: list[float] = []
        self._with_truth = False

    def add(
        self,
        name: str,
        frame: Frame,
        estimate: DepthEstimate,
        ground_truth: NDArray[np.float32] | None,
        elapsed_ms: float,
    ) -> None:
        """Take in one frame; where none has ground truth the slowest are the worst."""
        row = _Row(name, frame, estimate, ground_truth, elapsed_ms)
        if ground_truth is not None:
            sums = error_sums(estimate.depth, ground_truth)
            self._profile.add(estimate.depth, ground_truth, estimate.confidence)
            self._with_truth = True
            self._by_error.add(sums.metrics()['abs_rel'], sums.pixels, row)
        elif not self._with_truth:
            self._by_time.add(elapsed_ms, 0, row)
        if math.isfinite(elapsed_ms):
            self._elapsed_ms.append(elapsed_ms)

    def section(self, heading: str, text: str) -> Section:
        """Return the section; its pictures are those of the worst frames, the worst first."""
        measure = 'AbsRel' if self._with_truth else 'ms, slowest first'
        worst = self._by_error if self._with_truth else self._by_time
        return Section(
            heading,
            [text],
            tables=[
                Table(
                    ['worst frames', measure, 'pixels with truth', 'coverage', 'ms'],
                    [[name, error, *rest] for error, (name, *rest) in worst.listed.worst_first()],
                )
            ],
            charts=self._charts(),
            pictures=[
                Figure(fit(picture, *_PICTURE_PX), f'{row.name}: {caption}')
                for _, row in worst.pictured.worst_first()
                for caption, picture in result_pictures(
                    row.frame, row.estimate, row.ground_truth, with_confidence=True
                ).items()
            ],
        )

    def _charts(self) -> list[Chart]:
        if self._with_truth:
            return self._profile.charts(self._elapsed_ms)
        return [histogram(self._elapsed_ms, 'time of a frame, ms', 'Latency')]


def frames_to_picture(sections: int) -> int:
    """Return how many frames each of several sections pictures, so that a report stays small."""
    return max(1, min(3, _PICTURES_IN_ALL // max(sections, 1)))
