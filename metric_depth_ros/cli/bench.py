# SPDX-License-Identifier: Apache-2.0
"""`metric-depth bench`: measure speed, print it, and save it with machine and versions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metric_depth_ros.bench.stopwatch import Row

BENCHES = ('projection', 'codecs', 'estimator', 'alignment', 'node')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('what', choices=[*BENCHES, 'all'], help='part to measure')
    parser.add_argument('--rounds', type=int, default=30, help='calls of each candidate [30]')
    parser.add_argument(
        '--out', type=Path, default=Path('out/bench'), help='folder of the JSON files [out/bench]'
    )


def run(args: argparse.Namespace) -> int:
    """Measure; exit 1 when a ratio is above its bar."""
    import json
    from importlib import import_module

    from metric_depth_ros.errors import InputError
    from metric_depth_ros.evaluation.machine import describe_machine, describe_versions

    if args.rounds < 1:
        raise InputError('rounds', f'--rounds is {args.rounds}, expected at least 1.')
    args.out.mkdir(parents=True, exist_ok=True)
    within = True
    for name in BENCHES if args.what == 'all' else (args.what,):
        rows = import_module(f'metric_depth_ros.bench.{name}').run(args.rounds)
        _print_table(name, rows)
        report = {
            'bench': name,
            'rounds': args.rounds,
            'machine': describe_machine(),
            'versions': describe_versions(),
            'rows': [row.as_dict() for row in rows],
        }
        path = args.out / f'{name}.json'
        path.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
        print(f'saved {path}')
        within &= all(row.within_bar for row in rows)
    return 0 if within else 1


def _print_table(name: str, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f'bench {name}')
    for column in ('part', 'p50 ms', 'p99 ms', 'ratio', 'bar', 'to'):
        table.add_column(column, justify='left' if column in ('part', 'to') else 'right')
    for row in rows:
        bar = '' if row.bar is None else f'{row.bar:g}'
        ratio = f'{row.ratio:.2f}' if row.within_bar else f'[red]{row.ratio:.2f}[/red]'
        table.add_row(row.name, f'{row.p50_ms:.2f}', f'{row.p99_ms:.2f}', ratio, bar, row.baseline)
    Console().print(table)
