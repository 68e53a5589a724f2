# SPDX-License-Identifier: Apache-2.0
"""Tasks and tables that several data sets share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from metric_depth_ros.evaluation.benchmarks import published
from metric_depth_ros.evaluation.benchmarks.layout import within
from metric_depth_ros.evaluation.benchmarks.moge_view import moge_view
from metric_depth_ros.evaluation.benchmarks.prompts import (
    BLOCK_LEVELS,
    SAMPLED,
    masked_blocks,
    samplable,
)
from metric_depth_ros.evaluation.benchmarks.protocol import (
    Column,
    Item,
    Score,
    Table,
    Task,
    View,
    depth_score,
)
from metric_depth_ros.evaluation.boundary import boundary_f1
from metric_depth_ros.evaluation.metrics import error_sums
from metric_depth_ros.types import DepthEstimate

MONOCULAR = 'monocular'
MONOCULAR_WITH_CAMERA = 'monocular, camera given'
METRIC = 'metric'
BOUNDARIES = 'boundaries'
_FARTHEST_M = 1000.0  # of a prediction of metric depth
_METRIC_NOTE = (
    f'{published.METRIC_NOTE} Missing and non-positive predictions count as 0.001 m and are no '
    'inliers; those beyond 1000 m, +Inf too, count as 1000 m, where the evaluation of the '
    'released student ends.'
)
FOV_CHOICE = (
    'Field of view: horizontal, on the images as the geometry table sees them; crops of the '
    'published test are not known.'
)


def sampled_tasks(view: View | None = None) -> tuple[Task, ...]:
    """Return the completion of the published sampler's prompts."""

    def seen(item: Item) -> Item:
        return samplable(item if view is None else view(item))

    return tuple(Task(name, prompt, seen) for name, prompt in SAMPLED.items())


def sampled_table(data_set: str) -> Table:
    """Return the table of those."""
    return Table(
        published.SUPER_RESOLUTION_TITLE,
        tuple(Column(name, name, 'abs_rel', 100.0) for name in SAMPLED),
        published.rows(published.SUPER_RESOLUTION, published.SUPER_RESOLUTION_COLUMNS[data_set]),
        published.SUPER_RESOLUTION_NOTE,
    )


def block_tasks(
    part: str = '', includes: Callable[[str], bool] = lambda item_id: True
) -> tuple[Task, ...]:
    """Return the completion of masked blocks, of a part of the data set if it is named."""
    return tuple(
        Task(_block_name(level, part), masked_blocks(level), includes=includes)
        for level in BLOCK_LEVELS
    )


def block_table(data_set: str, part: str = '') -> Table:
    """Return the table of those."""
    columns = [
        Column(f'{level} {heading}', _block_name(level, part), key)
        for level in BLOCK_LEVELS
        for heading, key in (('RMSE m', 'rmse_m'), ('REL', 'abs_rel'))
    ]
    title = f'LingBot-Depth: masked blocks{f", {part}" if part else ""}'
    rows = published.rows(published.MASKED_BLOCKS[data_set])
    return Table(title, tuple(columns), rows, published.MASKED_BLOCKS_NOTE)


def _block_name(level: str, part: str) -> str:
    return f'blocks {level}' + (f' {part}' if part else '')


def geometry_tasks(width: int, height: int) -> tuple[Task, Task]:
    """Return depth from the image alone, and from image and camera, as MoGe evaluates it."""
    view = moge_view(width, height)
    return (
        Task(MONOCULAR, view=view, camera_given=False, score=geometry_score, unmasked=True),
        Task(MONOCULAR_WITH_CAMERA, view=view, unmasked=True),
    )


def geometry_tables(data_set: str) -> tuple[Table, Table]:
    """Return the tables of those."""
    part = published.GEOMETRY_COLUMNS[data_set]
    kinds = (
        (MONOCULAR, published.GEOMETRY, '5: geometry without intrinsics'),
        (MONOCULAR_WITH_CAMERA, published.GEOMETRY_WITH_CAMERA, '6: geometry with intrinsics'),
    )
    without, given = (
        Table(
            f'MetricAnything, table {title}',
            (
                Column('AbsRel %', task, 'abs_rel', 100.0),
                Column('δ1 %', task, 'delta1', 100.0),
            ),
            published.rows(text, part),
        )
        for task, text, title in kinds
    )
    return without, given


def fov_table(data_set: str) -> Table:
    """Return the table of the field of view that the image alone gives."""
    return Table(
        'MetricAnything, table 7: field of view, error in degrees',
        (
            Column('mean', MONOCULAR, 'fov_error_deg'),
            Column('median', MONOCULAR, 'fov_error_deg', statistic='median'),
        ),
        published.rows(published.FIELD_OF_VIEW, published.FIELD_OF_VIEW_COLUMNS[data_set]),
    )


def geometry_score(estimate: DepthEstimate, item: Item) -> Score:
    """Score depth, and the field of view where the estimator found one."""
    score = depth_score(estimate, item)
    if estimate.camera is None or item.camera is None:
        return score
    error = abs(estimate.camera.fov_x_deg - item.camera.fov_x_deg)
    return Score({**score.figures, 'fov_error_deg': error}, score.sums)


def metric_task(nearest_m: float, farthest_m: float) -> Task:
    """Return metric depth from image and camera; depth outside the range does not count."""

    def within_range(item: Item) -> Item:
        return replace(item, depth=within(item.depth, nearest_m, farthest_m))

    return Task(METRIC, view=within_range, score=metric_score)


def metric_score(estimate: DepthEstimate, item: Item) -> Score:
    """Score depth that ends, as in the evaluation of the released student, at 1000 m."""
    beyond = estimate.depth > _FARTHEST_M
    depth = np.where(beyond, np.float32(_FARTHEST_M), estimate.depth)
    return depth_score(replace(estimate, depth=depth), item)


def metric_table(data_set: str, statistic: str = 'per_image') -> tuple[Table, Table]:
    """Return the tables of metric depth: delta1 of all methods, other figures of some."""
    first = Table(
        'MetricAnything, table 3: metric depth, δ1 %',
        (Column('δ1 %', METRIC, 'delta1', 100.0, statistic),),
        published.rows(published.METRIC_DELTA1[data_set]),
        _METRIC_NOTE,
    )
    kinds = (
        ('AbsRel', 'abs_rel', 1.0),
        ('log10', 'log10', 1.0),
        ('δ2 %', 'delta2', 100.0),
        ('δ3 %', 'delta3', 100.0),
    )
    second = Table(
        'MetricAnything, table 4: metric depth',
        tuple(Column(h, METRIC, key, factor, statistic) for h, key, factor in kinds),
        published.rows(published.METRIC_DETAILS[data_set]),
        _METRIC_NOTE,
    )
    return first, second


def boundary_task() -> Task:
    """Return the boundaries of depth from image and camera."""
    return Task(BOUNDARIES, score=boundary_score)


def boundary_table(data_set: str) -> Table:
    """Return the table of those."""
    return Table(
        'MetricAnything, table 8: boundary F1',
        (Column('F1', BOUNDARIES, 'boundary_f1'),),
        published.rows(published.BOUNDARIES, published.BOUNDARIES_COLUMNS[data_set]),
    )


def boundary_score(estimate: DepthEstimate, item: Item) -> Score:
    """Score the boundaries; pairs that touch a pixel without ground truth do not count."""
    known = np.isfinite(item.depth)
    f1 = boundary_f1(estimate.depth, item.depth, known).f1 if known.any() else float('nan')
    return Score({'boundary_f1': f1}, error_sums(estimate.depth, item.depth))
