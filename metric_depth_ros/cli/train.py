# SPDX-License-Identifier: Apache-2.0
"""``metric-depth train``: train a network as a configuration says."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from metric_depth_ros.cli.numbers import whole
from metric_depth_ros.training.config import RECIPES

if TYPE_CHECKING:
    from metric_depth_ros.training.trainer import Training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument('recipe', choices=RECIPES, help='what is trained')
    parser.add_argument(
        '--config',
        required=True,
        metavar='F',
        help='YAML file, or the name of a shipped one: paper_teacher, compact_teacher_cpu, ...',
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='folder for checkpoints, metrics.jsonl, pictures and weights; default: '
        'out/training/NAME',
    )
    parser.add_argument(
        '--resume', action='store_true', help='go on from the newest checkpoint in the folder'
    )
    parser.add_argument(
        '--until',
        type=whole(1),
        metavar='STEP',
        help='stop after this step, as an interrupt would; rates stay those of the whole training',
    )
    parser.add_argument(
        '--device', choices=('auto', 'cpu', 'cuda'), default='auto', help='default: auto'
    )


def run(args: argparse.Namespace) -> int:
    """Train; an interrupt writes a checkpoint and is no error."""
    from metric_depth_ros.cli.outputs import prepare_folder
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.training.config import read_config
    from metric_depth_ros.training.config_files import find_config
    from metric_depth_ros.training.recipes import create_recipe

    path = find_config(args.config)
    config = read_config(path)
    if config.recipe != args.recipe:
        raise InputError(
            'training_config',
            f'{path} is for the recipe {config.recipe}, not {args.recipe}: give the matching one.',
        )
    recipe = create_recipe(config.recipe, config.network, config.options, str(path))
    out = args.out or Path('out/training') / path.stem

    from metric_depth_ros.training.checkpoints import complete_checkpoints
    from metric_depth_ros.training.journal import JOURNAL_NAME
    from metric_depth_ros.training.trainer import Training

    training = Training(config, recipe, out, args.device, resumed=args.resume)
    prepare_folder(out, '--out')
    if args.resume:
        training.resume()
    elif complete_checkpoints(out):
        raise InputError(
            'training_checkpoint',
            f'{out} already holds checkpoints: add --resume to go on, or choose another --out.',
        )
    elif training.is_main:
        # One that stopped before its first checkpoint may have left its own here.
        (out / JOURNAL_NAME).unlink(missing_ok=True)
    done = _run(training, args.until)
    if training.is_main:
        end = 'done' if done else 'stopped; --resume goes on'
        print(f'{out}: step {training.step} of {config.steps}, {end}')
    return 0


def _run(training: Training, until: int | None) -> bool:
    """Train under a progress bar in the main process."""
    if not training.is_main:
        return training.run(until=until)
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(file=sys.stderr)) as bar:
        task = bar.add_task('loss', total=training.config.steps, completed=training.step)

        def show(step: int, figures: dict[str, float]) -> None:
            bar.update(task, completed=step, description=f'loss {figures["loss"]:.4f}')

        return training.run(show, until)
