# SPDX-License-Identifier: Apache-2.0
"""What a benchmark is: images with ground truth, tasks over them, and the tables they fill.

Every choice that a paper leaves open is a sentence in `choices`, and is printed with the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.evaluation.metrics import ErrorSums, error_sums
from metric_depth_ros.types import CameraModel, DepthEstimate, SparsePrompt


@dataclass(frozen=True, eq=False)
class Item:
    """One image as its data set has it, or as a protocol wants to see it.

    Parameters
    ----------
    id
        Unique in the data set; a path of its own folders.
    image
        (H, W, 3) uint8 RGB.
    depth
        (H, W) float32 meters along the optical axis; NaN where no ground truth counts.
    camera
        Of the image, or None where the data set has none.
    prompts
        What the data set's own sensors measured, by name.
    points
        (N, 3) column, row and ground truth in meters, of benchmarks that are about points.
    """

    id: str
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    camera: CameraModel | None = None
    prompts: dict[str, SparsePrompt] = field(default_factory=dict)
    points: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))


@dataclass(frozen=True)
class Score:
    """The figures of one image; `sums` is there where pixels of all images can be pooled."""

    figures: dict[str, float]
    sums: ErrorSums | None = None


class DataSet(Protocol):
    """The images of a data set; every file is known to exist before the first is read."""

    @property
    def ids(self) -> Sequence[str]:
        """The names of the images, in order."""
        ...

    def load(self, index: int) -> Item:
        """Read an image."""
        ...


Prompt = Callable[[Item, int], SparsePrompt]
View = Callable[[Item], Item]
Scoring = Callable[[DepthEstimate, Item], Score]


def depth_score(estimate: DepthEstimate, item: Item) -> Score:
    """Compare depth with ground truth as it is, failures included; see `metrics`."""
    sums = error_sums(estimate.depth, item.depth)
    return Score(sums.metrics(), sums)


@dataclass(frozen=True)
class Task:
    """One question asked about every image.

    Parameters
    ----------
    name
        As tables call it.
    prompt
        Makes the prompt of an item from a seed; None: there is none.
    view
        What the item is turned into first.
    camera_given
        Whether the estimator gets the camera.
    score
        How the answer is compared.
    includes
        Whether an item, by its id, belongs to the task.
    at_points
        Whether nothing but the points of the item counts: an estimator that is asked about
        pixels one by one is then asked about those.
    unmasked
        Whether an estimator that takes some pixels for sky is asked for their depth all the same.
    """

    name: str
    prompt: Prompt | None = None
    view: View | None = None
    camera_given: bool = True
    score: Scoring = depth_score
    includes: Callable[[str], bool] = lambda item_id: True
    at_points: bool = False
    unmasked: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a table: one figure of one task.

    Parameters
    ----------
    heading
        As printed.
    task, key
        Name of the task and of the figure.
    factor
        From our unit to that of the table.
    statistic
        ``per_image`` (mean over images), ``pooled`` (over the pixels of all) or ``median``.
    """

    heading: str
    task: str
    key: str
    factor: float = 1.0
    statistic: str = 'per_image'


@dataclass(frozen=True)
class Table:
    """A table of a paper: its columns, and what others reached (None: not published)."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...] = ()
    note: str = ''


@dataclass(frozen=True)
class Benchmark:
    """A data set with the papers' questions about it.

    Parameters
    ----------
    name, title
        On the command line, and for people.
    layout
        The files it wants, for people.
    open
        Finds the images in a folder.
    images
        Number of images that published figures are over; 0 where it was not published.
    choices
        What the papers leave open, and what is done here.
    """

    name: str
    title: str
    layout: str
    open: Callable[[Path], DataSet]
    images: int
    tasks: tuple[Task, ...]
    tables: tuple[Table, ...]
    choices: tuple[str, ...]
