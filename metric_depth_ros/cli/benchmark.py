# SPDX-License-Identifier: Apache-2.0
"""``metric-depth benchmark``: an estimator on a data set of the papers, beside their rows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metric_depth_ros.cli.estimator_options import add_estimator_arguments
from metric_depth_ros.cli.numbers import whole
from metric_depth_ros.estimators.options import EstimatorOptions

if TYPE_CHECKING:
    from rich.console import Console

    from metric_depth_ros.estimators.base import Estimator
    from metric_depth_ros.estimators.provenance import Provenance
    from metric_depth_ros.evaluation.benchmarks.protocol import Benchmark, DataSet, Task
    from metric_depth_ros.evaluation.benchmarks.run import Share


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    from metric_depth_ros.evaluation.benchmarks.catalog import NAMES

    parser.epilog = (
        'Several processes: accelerate launch --multi_gpu -m metric_depth_ros.cli.main benchmark '
        '...; what was interrupted goes on with the same command.'
    )
    parser.add_argument('name', metavar='NAME', help=', '.join(NAMES))
    parser.add_argument(
        '--layout', action='store_true', help='print the files that the benchmark wants, and end'
    )
    parser.add_argument('--data', type=Path, metavar='DIR', help='the data set, unpacked')
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='where figures go; default: benchmark-NAME'
    )
    parser.add_argument(
        '--task',
        action='append',
        default=[],
        dest='tasks',
        metavar='TASK',
        help='this task only; may be given several times; default: all, see --layout',
    )
    parser.add_argument('--limit', type=whole(1), metavar='N', help='the first N images only')
    add_estimator_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run a benchmark, or print its layout; always 0."""
    from metric_depth_ros.cli.outputs import prepare_folder
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.estimators.provenance import noted_provenance
    from metric_depth_ros.estimators.registry import create_estimator
    from metric_depth_ros.evaluation.benchmarks.catalog import benchmark
    from metric_depth_ros.evaluation.benchmarks.records import check_settings
    from metric_depth_ros.evaluation.benchmarks.run import Share, chosen_tasks

    chosen = benchmark(args.name)
    if args.layout:
        print(_describe(chosen))
        return 0
    if args.data is None:
        raise InputError(
            'benchmark_data',
            f'--data is missing: the folder of {chosen.title}. `metric-depth benchmark '
            f'{args.name} --layout` prints what belongs there.',
        )
    tasks, share = chosen_tasks(chosen, args.tasks), Share.of_environment()
    options = EstimatorOptions.of(args)
    # What is refused must not leave a folder that is then held against the corrected command.
    data = chosen.open(args.data)
    with noted_provenance() as provenance:
        estimator = create_estimator(args.estimator, _on_own_device(options, share))
    out = args.out or Path(f'benchmark-{args.name}')
    prepare_folder(out, '--out')
    about = _about(args, options, provenance, share)
    check_settings(out, _settings(args, about, tasks))
    return _run(args, chosen, data, tasks, share, out, estimator, about)


def _run(
    args: argparse.Namespace,
    chosen: Benchmark,
    data: DataSet,
    tasks: list[Task],
    share: Share,
    out: Path,
    estimator: Estimator,
    about: dict[str, Any],
) -> int:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from metric_depth_ros.evaluation.benchmarks.records import read_records
    from metric_depth_ros.evaluation.benchmarks.result import summarize, write_result
    from metric_depth_ros.evaluation.benchmarks.run import run_share, wanted

    console = Console(stderr=True)
    ids = list(data.ids)[: args.limit]
    mine = [item for i, item in enumerate(ids) if share.has(i)]
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(chosen.title, total=len(wanted(mine, tasks)))
        run_share(
            data, ids, tasks, estimator, out, share, lambda count: progress.advance(bar, count)
        )
    records = read_records(out)
    whole = wanted(ids, tasks)
    left = sum(pair not in records for pair in whole)
    if left:  # the process that ends last writes the result
        console.print(
            f'{left} of {len(whole)} answers are left to the other processes; if these have '
            'ended, run the same command again.'
        )
        return 0
    result = summarize(chosen, tasks, {pair: records[pair] for pair in whole}, about)
    write_result(out, result)
    _print(result, console)
    return 0


def _about(
    args: argparse.Namespace, options: EstimatorOptions, provenance: Provenance, share: Share
) -> dict[str, Any]:
    """Return what the figures are measured with."""
    from metric_depth_ros.evaluation.made_with import describe_estimator
    from metric_depth_ros.machine import describe_machine, describe_versions

    return {
        'estimator': args.estimator,
        **describe_estimator(options, provenance),
        'processes': share.processes,
        'machine': describe_machine(),
        'versions': describe_versions(),
    }


def _settings(
    args: argparse.Namespace, about: dict[str, Any], tasks: list[Task]
) -> dict[str, Any]:
    return {
        'benchmark': args.name,
        'data': str(args.data.resolve()),
        'estimator': args.estimator,
        'options': about['options'],
        # Under the path of a training's checkpoint lie others before long.
        'weights': about['weights'],
        'tasks': [task.name for task in tasks],
        'limit': args.limit,
    }


def _on_own_device(options: EstimatorOptions, share: Share) -> EstimatorOptions:
    """Give each of several processes a GPU of its own, as far as there are any."""
    from dataclasses import replace

    if share.processes == 1 or options.device != 'auto':
        return options
    import torch

    gpus = torch.cuda.device_count()
    return replace(options, device=f'cuda:{share.rank % gpus}') if gpus else options


def _describe(chosen: Benchmark) -> str:
    tasks = 'Tasks: ' + ', '.join(task.name for task in chosen.tasks)
    choices = (f'- {choice}' for choice in chosen.choices)
    return '\n'.join([chosen.title, '', chosen.layout, '', tasks, '', 'Choices:', *choices])


def _print(result: dict[str, Any], console: Console) -> None:
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    from metric_depth_ros.evaluation.report import format_number

    for part in result['tables']:
        table = Table(box=SIMPLE, title=escape(part['title']), title_justify='left')
        table.add_column('method', overflow='fold')
        for heading in part['columns']:
            table.add_column(escape(heading), justify='right')
        for row in (part['ours'], *part['papers']):
            style = 'bold' if row is part['ours'] else None
            values = map(format_number, row['values'])
            table.add_row(escape(row['method']), *values, style=style)
        console.print(table)
    for line in (*result['remarks'], *result['choices']):
        console.print(f'- {line}', markup=False, highlight=False)
