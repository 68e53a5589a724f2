# SPDX-License-Identifier: Apache-2.0
"""``metric-depth pseudo-label``: a teacher labels examples for a student."""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path

from metric_depth_ros.cli.estimator_options import add_learned_arguments
from metric_depth_ros.cli.numbers import positive, whole
from metric_depth_ros.estimators.options import EstimatorOptions

SOURCES = ('shards', 'frames', 'kitti')
# Options that decide what a label is; where and how fast the teacher runs does not.
_ORIGIN = ('kind', 'teacher', 'weights', 'revision', 'precision', 'resolution_scale', 'preset')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        'data', type=Path, metavar='DATA', help='shards, frame sets, or KITTI depth completion'
    )
    parser.add_argument('out', type=Path, metavar='OUT', help='folder for the labeled shards')
    parser.add_argument(
        '--kind', choices=SOURCES, default='shards', help='what DATA is; default: shards'
    )
    parser.add_argument(
        '--teacher',
        default='teacher:depth_pro',
        metavar='NAME[:PRIOR]',
        help='estimator that takes prompts; default: teacher:depth_pro',
    )
    parser.add_argument(
        '--worst-error',
        type=positive(math.inf),
        default=0.1,
        metavar='E',
        help='leave out examples whose held-out points are missed by more (AbsRel of the better '
        'four fifths); inf switches this off; default: 0.1',
    )
    parser.add_argument('--seed', type=whole(0), default=0, help='of the prompts; default: 0')
    parser.add_argument('--per-shard', type=whole(1), default=128, help='examples; default: 128')
    parser.add_argument(
        '--part',
        type=_part,
        default=(0, 1),
        metavar='K/N',
        help='make every N-th shard from the K-th (from 1), to share the work; default: 1/1',
    )
    add_learned_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Label what is missing and say what became of it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import MofNCompleteColumn, Progress

    from metric_depth_ros.cli.outputs import prepare_folder
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.estimators.registry import create_estimator
    from metric_depth_ros.training.pseudo_label import LabelSettings, write_labels
    from metric_depth_ros.training.sources import open_source

    source = open_source(args.data, args.kind)
    prepare_folder(args.out, 'OUT')
    if args.out.resolve() == args.data.resolve():
        raise InputError('pseudo_label', f'OUT is DATA ({args.out}): choose another folder.')
    teacher = create_estimator(args.teacher, EstimatorOptions.of(args), 'option --teacher')
    settings = LabelSettings(
        worst_abs_rel=args.worst_error, per_shard=args.per_shard, seed=args.seed
    )
    origin = {name: getattr(args, name) for name in _ORIGIN} | {'data': str(args.data.resolve())}
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as bar:
        work = escape(f'{teacher.name} to {args.out}')
        task = bar.add_task(work, total=len(source) // args.part[1])
        counts = write_labels(
            source,
            teacher,
            args.out,
            settings,
            origin,
            args.part,
            lambda done: bar.update(task, completed=done),
        )
    print(
        f'{args.out}: {counts.labeled} labeled, {counts.refused} left out, {counts.present} were '
        'there'
    )
    return 0


def _part(text: str) -> tuple[int, int]:
    match = re.fullmatch(r'(\d+)/(\d+)', text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f'{text} is no part such as 2/8')
    return int(match[1]) - 1, int(match[2])
