#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure surfaces: fused completed depth against fused measured depth, in rooms never seen.

Each seed is another room, or another table, simulated with exact ground truth; the seeds differ
from those that anything was chosen on (0 to 9, and the shards of the trained networks). Every
seed is reported, and the mean over them. Needs no data. ``--posed DIR`` adds a frame set with
poses, such as a scene of 7-Scenes, by what is covered and how far it moved.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

COMMAND = [sys.executable, '-m', 'metric_depth_ros.cli.main']
SCENES = ('indoor', 'tabletop')
FIRST_SEED = 500
SECONDS, RATE_HZ = 5, 2
KEYS = ('f_score', 'f_score_measured', 'coverage_ratio', 'median_m')


def main() -> int:
    """Measure and print a Markdown table; 1 where a mean is not better than what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, required=True, help='folder for bags and figures')
    parser.add_argument('--seeds', type=int, default=8, help='rooms of each kind (default 8)')
    parser.add_argument('--size', default='640x480', help='of the images (default 640x480)')
    parser.add_argument('--posed', type=Path, help='frame set with poses to measure too')
    parser.add_argument('--estimator', default='classical')
    args = parser.parse_args()
    rows = [
        (f'{scene} {seed}', simulated(args, scene, seed))
        for scene in SCENES
        for seed in range(FIRST_SEED, FIRST_SEED + args.seeds)
    ]
    averages = means(rows)
    table = [*rows, *averages]
    if args.posed is not None:
        table.append((args.posed.name, reconstruct(args, args.posed, '--max-depth', '5')))
    (args.out / f'reconstruction_{args.size}.json').write_text(
        json.dumps(dict(table), indent=1) + '\n', encoding='utf-8'
    )
    print(markdown(table))
    return int(any(not better(figures) for _, figures in averages))


def simulated(args: argparse.Namespace, scene: str, seed: int) -> dict[str, Any]:
    """Return the figures of a simulated recording; one that is there already is used again."""
    bag = args.out / f'{scene}_{seed}_{args.size}'
    if not bag.exists():
        length = ['--seconds', str(SECONDS), '--rate', str(RATE_HZ), '--size', args.size]
        run('simulate', str(bag), '--scene', scene, '--seed', str(seed), *length)
    return reconstruct(args, bag)


def reconstruct(args: argparse.Namespace, source: Path, *options: str) -> dict[str, Any]:
    """Return the figures of ``metric-depth reconstruct --compare``."""
    figures = args.out / 'figures.json'
    run(
        'reconstruct', str(source), '--compare', '--estimator', args.estimator, *options,
        '-o', str(args.out / 'mesh.ply'), '--json', str(figures),
    )  # fmt: skip
    loaded: dict[str, Any] = json.loads(figures.read_text(encoding='utf-8'))
    return loaded


def run(*arguments: str) -> None:
    """Run a command of the project; what it says goes to stderr."""
    print('metric-depth', *arguments, file=sys.stderr)
    subprocess.run([*COMMAND, *arguments], check=True, stdout=sys.stderr)


def means(rows: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, float | None]]]:
    """Return the mean over the seeds of each scene, of those that have a figure."""
    return [
        (
            f'{scene}, mean',
            {key: mean([f[key] for name, f in rows if name.startswith(scene)]) for key in KEYS},
        )
        for scene in SCENES
    ]


def better(figures: dict[str, float | None]) -> bool:
    """Return whether completed depth made a better surface than measured depth alone."""
    completed, measured = figures['f_score'], figures['f_score_measured']
    return completed is not None and measured is not None and completed > measured


def mean(values: list[float | None]) -> float | None:
    """Return the mean of what is not None, None where there is nothing else."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def markdown(rows: list[tuple[str, dict[str, Any]]]) -> str:
    """Return the table."""
    lines = [
        '| recording | F at 2 cm | F, measured depth alone | cubes covered, ratio | median, mm |',
        '|---|---|---|---|---|',
    ]
    for name, figures in rows:
        score, measured = (
            f'{figures[key]:.3f}' if key in figures else 'no ground truth' for key in KEYS[:2]
        )
        median_m = figures['median_m']
        median = 'nothing to compare' if median_m is None else f'{1e3 * median_m:.1f}'
        lines.append(
            f'| {name} | {score} | {measured} | {figures["coverage_ratio"]:.3f} | {median} |'
        )
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
