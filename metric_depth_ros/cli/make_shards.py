# SPDX-License-Identifier: Apache-2.0
"""``metric-depth make-shards``: simulated examples for a training, as WebDataset shards."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from metric_depth_ros.cli.interrupts import ended_like_ctrl_c
from metric_depth_ros.cli.numbers import whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument('out', type=Path, metavar='OUT', help='folder for the shards')
    parser.add_argument('--views', type=whole(1), required=True, help='number of examples')
    parser.add_argument(
        '--seed', type=whole(0), default=0, help='same seed, same examples; default: 0'
    )
    parser.add_argument(
        '--split',
        choices=('train', 'validation'),
        default='train',
        help='validation has worlds that train never shows; default: train',
    )
    parser.add_argument(
        '--workers',
        type=whole(1),
        default=os.cpu_count() or 1,
        help='processes; default: one a processor',
    )
    parser.add_argument(
        '--kinds',
        nargs='+',
        default=(),
        metavar='KIND',
        help='only worlds of these kinds: street, room, tabletop, terrain, clutter',
    )
    parser.add_argument(
        '--monocular',
        action='store_true',
        help='for networks that see an image alone: whole images, not windows of finer ones, '
        'small, without points of sensors',
    )
    parser.add_argument(
        '--per-shard', type=whole(1), default=128, help='examples in a file; default: 128'
    )
    parser.add_argument(
        '--device',
        choices=('cpu', 'cuda', 'auto'),
        default='cpu',
        help='where to cast rays; default: cpu',
    )


@ended_like_ctrl_c()
def run(args: argparse.Namespace) -> int:
    """Simulate what is missing and say what is there."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import MofNCompleteColumn, Progress

    from metric_depth_ros.cli.outputs import prepare_folder
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.estimators.devices import torch_device
    from metric_depth_ros.simulation.worlds import KINDS
    from metric_depth_ros.training.shard_maker import ShardSettings, make_shards

    unknown = sorted(set(args.kinds) - set(KINDS))
    if unknown:
        raise InputError(
            'simulation_kind', f'--kinds {", ".join(unknown)}: expected {", ".join(KINDS)}.'
        )
    device = torch_device(args.device)  # refused before the work
    prepare_folder(args.out, 'OUT')
    settings = ShardSettings(
        args.views, args.seed, args.split, tuple(args.kinds), args.per_shard, args.monocular
    )
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as bar:
        task = bar.add_task(escape(f'{args.split} to {args.out}'), total=args.views)
        count = make_shards(
            args.out,
            settings,
            args.workers,
            str(device),
            lambda views: bar.update(task, completed=views),
        )
    print(f'{args.out}: {count} examples of {args.split}, seed {args.seed}')
    return 0
