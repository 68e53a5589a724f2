# SPDX-License-Identifier: Apache-2.0
"""``metric-depth evaluate``: score an estimator on frame sets."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metric_depth_ros.cli.estimator_options import add_estimator_arguments
from metric_depth_ros.cli.rerun_option import add_rerun_argument, open_rerun
from metric_depth_ros.estimators.options import EstimatorOptions

if TYPE_CHECKING:
    from rich.console import Console

    from metric_depth_ros.estimators.base import Estimator
    from metric_depth_ros.evaluation.error_report import ErrorReport
    from metric_depth_ros.evaluation.metrics import Aggregation
    from metric_depth_ros.evaluation.report import Section
    from metric_depth_ros.evaluation.rerun_log import RerunLog
    from metric_depth_ros.evaluation.scoring import Group, ScoredFrame


_TABLE = (  # column, key of the metrics
    ('AbsRel', 'abs_rel'),
    ('MAE m', 'mae_m'),
    ('RMSE m', 'rmse_m'),
    ('δ1', 'delta1'),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        'folders', nargs='+', metavar='DIR', help='a frame set, or a folder of frame sets'
    )
    parser.add_argument(
        '--prompt',
        action='append',
        dest='prompts',
        metavar='NAME',
        help='score this prompt only; may be given several times; default: all scored prompts',
    )
    add_estimator_arguments(parser)
    parser.add_argument(
        '--aggregation',
        choices=('per_image', 'pooled', 'per_sample'),
        default='per_image',
        help='mean over images, over all pixels, or over samples of several cameras; default: '
        'per_image',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all figures, too')
    parser.add_argument('--html', type=Path, metavar='FILE', help='write a report, too')
    add_rerun_argument(parser)
    parser.add_argument(
        '--fail-if',
        action='append',
        default=[],
        metavar='CONDITION',
        help="exit with 1 when it holds for a group, e.g. 'abs_rel>0.1'; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate; 0 when something was scored, 1 when a --fail-if condition holds."""
    from rich.console import Console

    from metric_depth_ros.cli.outputs import prepare_file, refuse_one_for_two, whole_file
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.estimators.provenance import noted_provenance
    from metric_depth_ros.estimators.registry import create_estimator
    from metric_depth_ros.evaluation.fail_if import concerned, parse_condition
    from metric_depth_ros.evaluation.made_with import describe_estimator
    from metric_depth_ros.evaluation.metrics import Aggregation
    from metric_depth_ros.evaluation.scoring import find_groups
    from metric_depth_ros.framesets import find_frame_sets
    from metric_depth_ros.machine import describe_machine, describe_versions

    console = Console(stderr=True)
    conditions = [parse_condition(text) for text in args.fail_if]
    files = {'--json': args.json, '--html': args.html}
    refuse_one_for_two({**files, '--rerun': args.rerun})
    for option, path in files.items():
        if path is not None:
            prepare_file(path, option)
    options = EstimatorOptions.of(args)
    groups = find_groups(find_frame_sets(args.folders), args.prompts)
    with noted_provenance() as provenance:
        estimator = create_estimator(args.estimator, options)
    with open_rerun(args) as log:
        summaries, sections = _run_groups(
            groups, estimator, Aggregation(args.aggregation), args.html is not None, log, console
        )
    if all(s['frames'] == s['frames_without_ground_truth'] for s in summaries):
        raise InputError(
            'frame_set_ground_truth',
            'nothing was scored: no frame has a pixel of ground truth that counts. Correct scale, '
            'min_m and max_m of gt in frames.json.',
        )
    result = {
        'estimator': estimator.name,
        **describe_estimator(options, provenance),
        'machine': describe_machine(),
        'versions': describe_versions(),
        'aggregation': args.aggregation,
        'groups': summaries,
    }
    if args.json is not None:
        with whole_file(args.json, '--json') as path:
            _write_json(path, result)
    if args.html is not None:
        with whole_file(args.html, '--html') as path:
            _write_html(path, result, sections)
    _print_table(result, console)
    violations = [
        f'{s["set"]}/{s["prompt"]}: {condition} holds ({condition.value(s):.4g})'
        for condition in conditions
        for s in concerned(condition, summaries)
        if condition.violated(s)
    ]
    for violation in violations:
        console.print(violation, style='red', markup=False, highlight=False)
    return 1 if violations else 0


def _run_groups(
    groups: list[Group],
    estimator: Estimator,
    aggregation: Aggregation,
    with_report: bool,
    log: RerunLog | None,
    console: Console,
) -> tuple[list[dict[str, Any]], list[Section]]:
    """Score every group; sections of a report begin with that of the largest error."""
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    from metric_depth_ros.evaluation.error_report import ErrorReport, frames_to_picture
    from metric_depth_ros.evaluation.scoring import GroupResult, run_group
    from metric_depth_ros.evaluation.unscored import doubts

    summaries: list[dict[str, Any]] = []
    sections: list[tuple[float, Section]] = []
    # The first call pays for imports and caches; it is not timed.
    estimator.estimate(groups[0].frames[0].load_frame(groups[0].prompt))
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), Elapsed())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task('', total=sum(len(group.frames) for group in groups))
        for group in groups:
            progress.update(task, description=escape(f'{group.frame_set.name} / {group.prompt}'))
            result = GroupResult(group)
            report = ErrorReport(frames_to_picture(len(groups)))
            for scored in run_group(group, estimator):
                if with_report:
                    _add_to_report(report, scored)
                if log is not None:
                    _log(log, group, scored)
                result.add(scored)
                progress.advance(task)
            summaries.append(result.summary(aggregation))
            for doubt in doubts(result):
                console.print(doubt, style='yellow', markup=False, highlight=False, soft_wrap=True)
            if with_report:
                sections.append(_section(group, summaries[-1], report))
    sections.sort(key=lambda section: -section[0])
    return summaries, [section for _, section in sections]


def _add_to_report(report: ErrorReport, scored: ScoredFrame) -> None:
    report.add(
        scored.recorded.id, scored.frame, scored.estimate, scored.ground_truth, scored.elapsed_ms
    )


def _log(log: RerunLog, group: Group, scored: ScoredFrame) -> None:
    log.frame(
        scored.frame,
        scored.estimate,
        ground_truth=scored.ground_truth,
        latency_ms=scored.elapsed_ms,
        group=f'{group.frame_set.name} {group.prompt}',
    )


def _write_json(path: Path, result: dict[str, Any]) -> None:
    text = json.dumps(result, indent=2, allow_nan=False, ensure_ascii=False)
    path.write_text(text + '\n', encoding='utf-8')


def _section(group: Group, summary: dict[str, Any], report: ErrorReport) -> tuple[float, Section]:
    """Return the error that sections are ordered by, and the section."""
    error = summary['metrics']['abs_rel']
    count = summary['frames']
    text = (
        f'{count} frame{"s" if count != 1 else ""}, {summary["prompt_points"]:.0f} prompt points '
        f'each; AbsRel {"unknown" if error is None else format(error, ".4f")}. The worst frames '
        'come first.'
    )
    section = report.section(f'{group.frame_set.name} / {group.prompt}', text)
    return -1.0 if error is None else error, section


def _write_html(path: Path, result: dict[str, Any], sections: list[Section]) -> None:
    from metric_depth_ros.evaluation.made_with import estimator_sentence
    from metric_depth_ros.evaluation.report import Section, Table, write_report

    groups = sorted(result['groups'], key=lambda g: (g['set'], g['prompt']))
    names = [name for name, _ in _TABLE]
    header = ['set', 'prompt', 'frames', *names, 'AbsRel (no prompt)']
    header += ['boundary F1', 'coverage', 'ms p50', 'ms p95']
    rows = [
        [
            g['set'],
            g['prompt'],
            g['frames'],
            *(g['metrics'][key] for _, key in _TABLE),
            g['metrics_unprompted']['abs_rel'],
            g['metrics'].get('boundary_f1'),
            g['coverage'],
            g['ms']['p50'],
            g['ms']['p95'],
        ]
        for g in groups
    ]
    machine = result['machine']
    overview = Section(
        'Accuracy and time',
        [
            estimator_sentence(result),
            f'{machine["processor"]}, {machine["cores"]} cores. Aggregation: '
            f'{result["aggregation"]}. Predictions are compared as they are; a pixel without a '
            'usable prediction counts as a failure. “No prompt” is over the pixels where the '
            'rasterized prompt has no value.',
        ],
        [Table(header, rows)],
    )
    masked = [
        [g['set'], g['prompt'], name, *(values[key] for _, key in _TABLE)]
        for g in groups
        for name, values in g['masks'].items()
    ]
    if masked:
        regions = Section('Regions', tables=[Table(['set', 'prompt', 'region', *names], masked)])
        sections = [regions, *sections]
    write_report(path, f'Evaluation of {result["estimator"]}', [overview, *sections])


def _print_table(result: dict[str, Any], console: Console) -> None:
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    from metric_depth_ros.evaluation.report import format_number

    table = Table(
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        title=escape(f'estimator {result["estimator"]}'),
        title_justify='left',
        caption='“no prompt”: AbsRel over the pixels where the prompt has no value',
    )
    table.add_column('set / prompt', overflow='fold', min_width=20)
    headings = [name for name, _ in _TABLE]
    for name in ('frames', *headings, 'no prompt', 'ms'):
        table.add_column(name, justify='right', no_wrap=True, min_width=max(6, len(name)))
    for s in result['groups']:
        values = [s['metrics'][key] for _, key in _TABLE]
        values += [s['metrics_unprompted']['abs_rel'], s['ms']['p50']]
        name = escape(f'{s["set"]} / {s["prompt"]}')
        table.add_row(name, str(s['frames']), *map(format_number, values))
    console.print(table)
