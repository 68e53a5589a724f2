# SPDX-License-Identifier: Apache-2.0
"""Train the compact teacher briefly in many ways and compare: data, inputs, losses.

    python scripts/ablations.py out/shards docs/ABLATIONS.md [--steps 800] [--frames DIR]

Each variation is a training of its own from the same seed, resumed when the script is run again.
Figures are of the simulated validation set; with --frames also of recorded frame sets, as
geometric means over all scored prompts of AbsRel.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from metric_depth_ros.resources import share_file

FRACTIONS = (0.03, 0.1, 0.3, 1.0)
_NO_FAR = {'far_weight': 0.0}
VARIATIONS: Mapping[str, Mapping[str, Any]] = {
    **{f'{fraction:.0%} of the data': {'fraction': fraction} for fraction in FRACTIONS},
    'no image': {'options': {'blank_image_share': 1.0}},
    'largest fifth of the errors dropped': {'options': {'robust': True}},
    'error of log depth alone': {'options': _NO_FAR},
    'error of depth alone': {'options': {**_NO_FAR, 'space': 'depth'}},
    'error of inverse depth alone': {'options': {**_NO_FAR, 'space': 'inverse'}},
    'no gradients': {'options': {'gradient_weight': 0.0}},
}


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('shards', type=Path, help='folder with train and validation')
    parser.add_argument('table', type=Path, help='Markdown file to write')
    parser.add_argument('--steps', type=int, default=800)
    parser.add_argument('--frames', type=Path, help='recorded frame sets')
    parser.add_argument('--out', type=Path, default=Path('out/ablations'))
    args = parser.parse_args()
    rows = []
    for name, changes in VARIATIONS.items():
        folder = args.out / name.replace(' ', '_').replace('%', '')
        _train(folder, _configuration(args.shards, args.steps, changes))
        rows.append((name, *_figures(folder, args.frames)))
        args.table.write_text('\n'.join(_table(rows, args)) + '\n', 'utf-8')
    return 0


def _configuration(shards: Path, steps: int, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of the small training, changed."""
    config: dict[str, Any] = yaml.safe_load(
        share_file('config/training/compact_teacher_cpu.yaml').read_text('utf-8')
    )
    train = {'path': str(shards / 'train'), 'fraction': changes.get('fraction', 1.0)}
    return config | {
        'steps': steps,
        'data': [train],
        'validation': [{'path': str(shards / 'validation')}],
        'options': changes.get('options', {}),
        'every': {'log': 50, 'validate': steps, 'checkpoint': 200, 'pictures': 0, 'keep': 1},
    }


def _train(folder: Path, config: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'config.yaml'
    path.write_text(yaml.safe_dump(dict(config)), 'utf-8')
    command = [sys.executable, '-m', 'metric_depth_ros.cli.main', 'train', 'compact']
    resume = ['--resume'] if (folder / 'checkpoints').exists() else []
    subprocess.run([*command, '--config', str(path), '--out', str(folder), *resume], check=True)


def _figures(folder: Path, frames: Path | None) -> Iterator[str]:
    """Return the figures of one training as text."""
    lines = (folder / 'metrics.jsonl').read_text('utf-8').splitlines()
    last = [line for line in map(json.loads, lines) if line['what'] == 'validation'][-1]
    yield f'{last["abs_rel"]:.4f}'
    yield f'{last["ratio"]:.3f}'
    if frames is None:
        return
    result = folder / 'frames.json'
    command = [sys.executable, '-m', 'metric_depth_ros.cli.main', 'evaluate', str(frames)]
    weights = f'compact_teacher={folder / "weights.safetensors"}'
    options = ['--estimator', 'compact_teacher', '--weights', weights, '--json', str(result)]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    groups = json.loads(result.read_text('utf-8'))['groups']
    for figure in ('abs_rel', 'rmse_m'):
        logs = [math.log(group['metrics'][figure]) for group in groups]
        yield f'{math.exp(sum(logs) / len(logs)):.4f}'


def _table(rows: list[tuple[str, ...]], args: argparse.Namespace) -> Iterator[str]:
    columns = ['training', 'simulated AbsRel', 'ratio to the guess']
    if args.frames is not None:
        columns += ['recorded AbsRel, geometric mean', 'recorded RMSE, geometric mean']
    yield '# Ablations of the compact teacher'
    yield ''
    yield f'Trainings of {args.steps} steps each, everything else as in'
    yield '`config/training/compact_teacher_cpu.yaml`. Made by'
    yield f'`python scripts/ablations.py out/shards docs/ABLATIONS.md --steps {args.steps}`.'
    yield ''
    yield '| ' + ' | '.join(columns) + ' |'
    yield '|' + '---|' * len(columns)
    for row in rows:
        yield '| ' + ' | '.join(row) + ' |'


if __name__ == '__main__':
    sys.exit(main())
