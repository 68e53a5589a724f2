# SPDX-License-Identifier: Apache-2.0
"""The result of a benchmark: our row beside the papers', as JSON, Markdown and HTML."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metric_depth_ros.evaluation.benchmarks.protocol import Benchmark, Column, Table, Task
from metric_depth_ros.evaluation.benchmarks.records import Record
from metric_depth_ros.evaluation.made_with import estimator_sentence
from metric_depth_ros.evaluation.metrics import Aggregation, ErrorSums, aggregate
from metric_depth_ros.evaluation.report import Section, format_number, write_report
from metric_depth_ros.evaluation.report import Table as ReportTable
from metric_depth_ros.whole_files import whole_file, write_whole

_METHOD = 'method'


def summarize(
    benchmark: Benchmark,
    tasks: Sequence[Task],
    records: Mapping[tuple[str, str], Record],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a result as it stands in the JSON.

    Parameters
    ----------
    records
        Everything that was asked, by task and item.
    about
        Estimator, machine, versions: what the figures were measured with.
    """
    by_task = {
        task.name: [r for (name, _), r in sorted(records.items()) if name == task.name]
        for task in tasks
    }
    images = len({item for _, item in records})
    summaries = {name: _task_summary(done) for name, done in by_task.items()}
    return {
        'benchmark': benchmark.name,
        'title': benchmark.title,
        **about,
        'images': images,
        'remarks': [*_remarks(benchmark, images, summaries), *_partial_figures(by_task)],
        'choices': list(benchmark.choices),
        'tasks': summaries,
        'tables': [
            _table_summary(table, by_task, str(about['estimator']))
            for table in benchmark.tables
            if any(by_task.get(column.task) for column in table.columns)
        ],
    }


def _remarks(
    benchmark: Benchmark, images: int, summaries: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Say what of these figures is not to be compared."""
    if benchmark.images and images != benchmark.images:
        yield (
            f'{images} images of the {benchmark.images} that published figures are over: these '
            'figures are not comparable with them.'
        )
    for name, summary in summaries.items():
        if without := summary['images_without_ground_truth']:
            yield f'{name}: {without} of {summary["images"]} images have no ground truth to score.'
        if summary['failures']:
            share = 100.0 * summary['failures']
            yield f'{name}: {share:.3g} % of the pixels have no usable prediction.'


def _partial_figures(by_task: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """Say which figures are of some images only, for want of an answer to the others."""
    for name, records in by_task.items():
        # Those without ground truth are told of as such.
        images = [r.score.figures for r in records if r.score.sums is None or r.score.sums.pixels]
        lacking: dict[int, list[str]] = {}
        for key in dict.fromkeys(key for figures in images for key in figures):
            having = sum(not math.isnan(figures.get(key, math.nan)) for figures in images)
            if having < len(images):
                lacking.setdefault(having, []).append(key)
        for having, keys in lacking.items():
            yield (
                f'{name}: {", ".join(keys)} of {having} of {len(images)} images; the others have '
                'none.'
            )


def _pooled(sums: Sequence[ErrorSums], keys: Sequence[str]) -> dict[str, float | None] | None:
    """Return those figures of a task that can be taken over the pixels of all images."""
    if not sums:
        return None
    pooled = aggregate(sums, Aggregation.POOLED)
    return {key: _known(pooled[key]) for key in keys if key in pooled} or None


def _task_summary(records: Sequence[Record]) -> dict[str, Any]:
    pixels = sum(r.score.sums.pixels for r in records if r.score.sums)
    failures = sum(r.score.sums.failures for r in records if r.score.sums)
    keys = list(dict.fromkeys(key for r in records for key in r.score.figures))
    sums = [r.score.sums for r in records if r.score.sums is not None]
    return {
        'images': len(records),
        'images_without_ground_truth': sum(not s.pixels for s in sums),
        'failures': failures / pixels if pixels else None,
        'per_image': {key: _known(_statistic(records, key, 'per_image')) for key in keys},
        'pooled': _pooled(sums, keys),
        'ms_p50': float(np.median([r.elapsed_ms for r in records])) if records else None,
        'methods': sorted({r.method for r in records}),
    }


def _table_summary(
    table: Table, by_task: Mapping[str, Sequence[Record]], estimator: str
) -> dict[str, Any]:
    ours = [
        _known(_statistic(by_task.get(c.task, ()), c.key, c.statistic) * c.factor)
        for c in table.columns
    ]
    return {
        'title': table.title,
        'columns': [c.heading for c in table.columns],
        'statistics': [_column_text(c) for c in table.columns],
        'ours': {_METHOD: estimator, 'values': ours},
        'papers': [{_METHOD: name, 'values': list(values)} for name, values in table.rows],
        'note': table.note,
    }


def _statistic(records: Sequence[Record], key: str, statistic: str) -> float:
    if statistic == 'pooled':
        sums = (r.score.sums for r in records if r.score.sums is not None)
        return sum(sums, ErrorSums()).metrics()[key]
    values = np.array([r.score.figures.get(key, math.nan) for r in records], np.float64)
    values = values[~np.isnan(values)]
    if not values.size:
        return math.nan
    return float(np.median(values) if statistic == 'median' else values.mean())


def _column_text(column: Column) -> str:
    scale = '' if column.factor == 1.0 else f' times {column.factor:g}'
    kinds = {
        'per_image': 'mean over images',
        'pooled': 'over the pixels of all images',
        'median': 'median over images',
    }
    return f'{column.key}{scale} of {column.task}, {kinds[column.statistic]}'


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write ``result.json``, ``result.md`` and ``result.html``, each at once or not at all.

    Two processes that end at the same time both write them, and the same.
    """
    text = json.dumps(result, indent=2, allow_nan=False, ensure_ascii=False) + '\n'
    write_whole(folder / 'result.json', text)
    write_whole(folder / 'result.md', markdown(result))
    with whole_file(folder / 'result.html') as page:
        write_report(page, f'{result["title"]}: {result["estimator"]}', _sections(result))


def markdown(result: Mapping[str, Any]) -> str:
    """Return a result as Markdown."""
    lines = [f'# {result["title"]}: {result["estimator"]}', '']
    lines += [f'{result["images"]} images. {estimator_sentence(result)}', '']
    for table in result['tables']:
        rows = _rows(table)
        lines += [f'## {table["title"]}', '']
        lines += [_line([_METHOD, *table['columns']]), _line(['---'] * (len(rows[0])))]
        lines += [_line([str(row[0]), *map(format_number, row[1:])]) for row in rows]
        lines += ['', *([table['note'], ''] if table['note'] else [])]
        lines += ['Columns: ' + '; '.join(table['statistics']) + '.', '']
    if result['remarks']:
        lines += ['## Remarks', '', *(f'- {remark}' for remark in result['remarks']), '']
    lines += ['## Choices', '', *(f'- {choice}' for choice in result['choices'])]
    return '\n'.join(lines) + '\n'


def _rows(table: Mapping[str, Any]) -> list[list[Any]]:
    """Return our row first, then those of the papers."""
    ours = table['ours']
    return [
        [f'{ours[_METHOD]} (ours)', *ours['values']],
        *([row[_METHOD], *row['values']] for row in table['papers']),
    ]


def _line(cells: Sequence[str]) -> str:
    return '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |'


def _sections(result: Mapping[str, Any]) -> list[Section]:
    tables = [
        Section(
            table['title'],
            [*([table['note']] if table['note'] else []), '; '.join(table['statistics']) + '.'],
            [ReportTable([_METHOD, *table['columns']], _rows(table))],
        )
        for table in result['tables']
    ]
    remarks = [Section('Remarks', list(result['remarks']))] if result['remarks'] else []
    made_with = Section('Estimator', [estimator_sentence(result)])
    return [*remarks, *tables, made_with, Section('Choices', list(result['choices']))]
