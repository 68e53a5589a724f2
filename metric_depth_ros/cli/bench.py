# SPDX-License-Identifier: Apache-2.0
"""`metric-depth bench`: measure speed, print it, and save it with machine and versions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from metric_depth_ros.cli.interrupts import ended_like_ctrl_c
from metric_depth_ros.cli.numbers import whole

if TYPE_CHECKING:
    from metric_depth_ros.bench.stopwatch import Row

BENCHES = ('projection', 'codecs', 'estimator', 'alignment', 'node')
# Arguments that only one part has a use for: how they are written, the part, the default.
_OF_ONE_PART: dict[str, tuple[str, str, object]] = {
    'model': ('MODEL', 'model', ''),
    'size': ('--size', 'model', ''),
    'device': ('--device', 'model', 'auto'),
    'frames': ('--frames', 'model', 0),
    'weights': ('--weights', 'estimator', ''),
    'frame_set': ('--frame-set', 'node', []),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        'what',
        choices=[*BENCHES, 'all', 'model'],
        help='part to measure; all: every part but model, which needs a name',
    )
    parser.add_argument(
        'model',
        nargs='?',
        default='',
        help='network to measure, of `metric-depth models`: bench model lingbot_depth',
    )
    parser.add_argument(
        '--size',
        default='',
        choices=['small', 'released'],
        help='of the network; default: released on a GPU, small on a CPU',
    )
    parser.add_argument(
        '--device', default='auto', help='of the network: auto, cpu, cuda, cuda:1; default: auto'
    )
    parser.add_argument(
        '--frames',
        type=whole(0),
        default=0,
        help='that the memory of the network may grow over; default: 500 on a GPU, 50 on a CPU',
    )
    parser.add_argument(
        '--weights',
        default='',
        metavar='W',
        help='of the compact teacher in bench estimator; default: the shipped ones, else random '
        'ones',
    )
    parser.add_argument(
        '--frame-set',
        action='append',
        default=[],
        metavar='DIR',
        help='whose cameras and scan bench node takes in place of its own; may be repeated',
    )
    parser.add_argument(
        '--rounds', type=whole(1), default=30, help='calls of each candidate; default: 30'
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('out/bench'),
        help='folder of the JSON files; default: out/bench',
    )


@ended_like_ctrl_c()
def run(args: argparse.Namespace) -> int:
    """Measure; exit 1 when a ratio is above its bar."""
    from importlib import import_module

    from metric_depth_ros.cli.outputs import prepare_folder

    _refuse_what_is_not_for(args)
    prepare_folder(args.out, '--out')
    if args.what == 'model':
        return 0 if _report(f'model_{args.model}', _model_rows(args), args) else 1
    within = True
    for name in BENCHES if args.what == 'all' else (args.what,):
        options = {
            'estimator': {'weights': args.weights},
            'node': {'frame_sets': args.frame_set},
        }.get(name, {})
        rows = import_module(f'metric_depth_ros.bench.{name}').run(args.rounds, **options)
        within &= _report(name, rows, args)
    return 0 if within else 1


def _refuse_what_is_not_for(args: argparse.Namespace) -> None:
    """Refuse arguments that the chosen part would ignore."""
    from metric_depth_ros.errors import InputError

    measured = BENCHES if args.what == 'all' else (args.what,)
    for name, (argument, part, default) in _OF_ONE_PART.items():
        value = getattr(args, name)
        if value != default and part not in measured:
            raise InputError(
                name,
                f'{argument} is {value!r}, but bench {args.what} has no use for it: {argument} '
                f'belongs to `bench {part}`.',
            )


def _model_rows(args: argparse.Namespace) -> list[Row]:
    from metric_depth_ros.bench.model import run as measure
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.estimators.learned.example import INFER

    if args.model not in INFER:
        raise InputError(
            'model', f'bench model got {args.model!r}, expected one of {", ".join(INFER)}.'
        )
    return measure(args.model, args.rounds, args.size, args.device, args.frames)


def _report(name: str, rows: list[Row], args: argparse.Namespace) -> bool:
    """Print and save the rows; return whether all are within their bars."""
    import json

    from metric_depth_ros.machine import describe_machine, describe_versions

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
    return all(row.within_bar for row in rows)


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
