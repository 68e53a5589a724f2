#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Train small networks in many ways and compare: amount of data, inputs, prompt, losses.

    python scripts/ablations.py --shards out/shards --frames DIR [--only scaling] [--seeds 2]
    python scripts/ablations.py --tables-only

Each variation is a training of its own; run again, the script goes on where it was. DIR holds
recorded frame sets, which are only measured on. Figures go to docs/ablations.json; the tables
of docs/ABLATIONS.md and docs/images/scaling.svg are made of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from figures import ROOT, filled
from flawed_views import write_flawed_shard
from scaling_plot import draw_scaling
from short_trainings import (
    Variation,
    configuration,
    errors_of_shape,
    errors_per_prompt,
    errors_per_view,
    minutes,
    train,
)

from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.registry import create_estimator
from metric_depth_ros.machine import describe_machine
from metric_depth_ros.training.batches import Sources
from metric_depth_ros.training.config import SourceConfig
from metric_depth_ros.training.shards import ShardSource

FIGURES = ROOT / 'docs' / 'ablations.json'
DOCUMENT = ROOT / 'docs' / 'ABLATIONS.md'
PLOT = ROOT / 'docs' / 'images' / 'scaling.svg'
GUESS = 'classical:quality'
FLAWED_VIEWS = 512  # the last ones of the training set

_SCALING, _PRIOR = 'ablation_scaling', 'ablation_prior'
_COMPACT, _TEACHER = 'ablation_compact', 'ablation_teacher'
_PRIOR_TRAINING = Variation('prior', _PRIOR)
FRACTIONS = {'0.1 %': 0.001, '0.5 %': 0.005, '3 %': 0.03, '17 %': 0.17, '100 %': 1.0}
SCALING = tuple(
    Variation(f'{name} of the views', _SCALING, fraction) for name, fraction in FRACTIONS.items()
)
COMPACT = (
    Variation('100 % of the views', _COMPACT),
    Variation('0.5 % of the views', _COMPACT, FRACTIONS['0.5 %']),
    Variation('no image', _COMPACT, options={'blank_image_share': 1.0}, gray=True),
    Variation('no rounds', _COMPACT, network={'rounds': 0}),
    Variation('no gradients', _COMPACT, options={'gradient_weight': 0.0}),
    Variation('largest fifth of the errors dropped', _COMPACT, options={'robust': True}),
)
TEACHER = (
    Variation('all of the recipe', _TEACHER),
    Variation('no image', _TEACHER, options={'image': False}),
    Variation('no PDSA', _TEACHER, options={'pdsa': False}),
    Variation('no GMDR', _TEACHER, options={'gmdr': False}),
    Variation('no robust loss', _TEACHER, options={'robust': False}),
)
_SHAPE = ('simulated, median set', 'recorded, median set')
TABLES = {'scaling': SCALING, 'teacher': TEACHER, 'compact': COMPACT}

Figures = dict[str, Any]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--shards', type=Path, default=Path('out/shards'))
    parser.add_argument('--frames', type=Path, help='recorded frame sets, to measure on')
    parser.add_argument('--only', choices=TABLES, help='train for one of the tables')
    parser.add_argument('--seeds', type=int, default=1, help='trainings of each variation')
    parser.add_argument('--out', type=Path, default=Path('out/ablations'))
    parser.add_argument(
        '--tables-only', action='store_true', help='only write what docs/ablations.json says'
    )
    args = parser.parse_args()
    figures: Figures = json.loads(FIGURES.read_text('utf-8')) if FIGURES.is_file() else {}
    if not args.tables_only:
        if args.frames is None:
            parser.error('--frames is missing: the folder of the recorded frame sets')
        figures |= {'machine': describe_machine(), 'guess': _figures_of_guess(args)}
        for seed in range(args.seeds):
            for variation in _wanted(args.only):
                _update(figures, variation, seed, args)
                _write(figures)
    _write(figures)
    return 0


def _wanted(only: str | None) -> list[Variation]:
    return [v for name, variations in TABLES.items() if only in (None, name) for v in variations]


def _update(figures: Figures, variation: Variation, seed: int, args: argparse.Namespace) -> None:
    """Train a variation and measure it, unless its figures are there."""
    known = figures.setdefault(variation.base, {}).setdefault(variation.name, {})
    if _is_whole(variation, known.get(str(seed), {})):
        return
    places = {'out/shards': args.shards, 'out/ablations': args.out}
    if variation.base == _TEACHER:
        _prepare_teacher(args, places)
    config = configuration(variation, seed, places)
    folder = variation.folder(args.out, seed)
    train(config, folder)
    known[str(seed)] = _measured(config, folder, variation, args) | {
        'views': Sources([SourceConfig(**source) for source in config['data']]).sizes[0],
        'minutes': round(minutes(folder), 1),
    }


def _prepare_teacher(args: argparse.Namespace, places: Mapping[str, Path]) -> None:
    """Train the prior, and make the examples that stand for captured ones."""
    train(configuration(_PRIOR_TRAINING, 0, places), _PRIOR_TRAINING.folder(args.out, 0))
    flawed = args.out / 'flawed'
    if not flawed.exists():
        source = ShardSource(args.shards / 'train')
        write_flawed_shard(source, range(len(source) - FLAWED_VIEWS, len(source)), flawed)


def _measured(
    config: Mapping[str, Any], folder: Path, variation: Variation, args: argparse.Namespace
) -> dict[str, float]:
    """Return geometric means of AbsRel over simulated views, and over what is recorded.

    That is the scored prompts for the compact teacher, and for others frames with a ground truth
    and a camera, whose prompts are masked as in training.
    """
    weights = folder / 'weights.safetensors'
    validation = SourceConfig(str(args.shards / 'validation'))
    simulated = errors_per_view(config, weights, validation, gray=variation.gray)
    if variation.base == _COMPACT:
        estimator = create_estimator('compact_teacher', EstimatorOptions(weights=str(weights)))
        return _means(simulated, errors_per_prompt(args.frames, estimator, gray=variation.gray))
    frames = SourceConfig(str(args.frames), kind='frames', real=True)
    means = _means(simulated, errors_per_view(config, weights, frames, gray=variation.gray))
    if variation.base == _SCALING:
        for name, source in zip(_SHAPE, (validation, frames), strict=True):
            means[name] = round(geometric_mean(errors_of_shape(config, weights, source)), 5)
    return means


def _figures_of_guess(args: argparse.Namespace) -> dict[str, float]:
    """Return the same figures of what the compact teacher starts from."""
    config = configuration(COMPACT[0], 0, {})
    validation = SourceConfig(str(args.shards / 'validation'))
    estimator = create_estimator(GUESS, EstimatorOptions())
    return _means(
        errors_per_view(config, None, validation, gray=False),
        errors_per_prompt(args.frames, estimator, gray=False),
    )


def _means(simulated: Sequence[float], recorded: Sequence[float]) -> dict[str, float]:
    return {
        'simulated': round(geometric_mean(list(simulated)), 5),
        'recorded': round(geometric_mean(list(recorded)), 5),
    }


def _write(figures: Figures) -> None:
    """Write the figures, and what is made of them."""
    FIGURES.write_text(json.dumps(figures, indent=1) + '\n', 'utf-8')
    tables = {
        'scaling': _table(figures, SCALING, views=True),
        'compact': _table(figures, COMPACT, guess=True),
        'teacher': _table(figures, TEACHER),
    }
    text = DOCUMENT.read_text('utf-8')
    DOCUMENT.write_text(
        filled(text, {name: '\n'.join(rows) for name, rows in tables.items()}), 'utf-8'
    )
    runs = [run for variation in SCALING for run in _runs(figures, variation)]
    if runs:
        draw_scaling(PLOT, runs)


def _table(
    figures: Figures, variations: Sequence[Variation], *, guess: bool = False, views: bool = False
) -> Iterator[str]:
    """Yield a row for every variation that has figures: means over its seeds, and their range."""
    errors = ['simulated', 'recorded', *(_SHAPE if views else ())]
    titles = [*errors, 'seeds', 'minutes']
    columns = ['training', *(['views'] if views else []), *titles]
    yield '| ' + ' | '.join(columns) + ' |'
    yield '|---|' + '---:|' * (len(columns) - 1)
    if guess:
        cells = [f'{figures["guess"][title]:.4f}' for title in titles[:2]]
        yield '| ' + ' | '.join(['the guess alone', *([''] * views), *cells, '', '']) + ' |'
    for variation in variations:
        runs = _runs(figures, variation)
        if runs:
            cells = [f'{runs[0]["views"]:,}'] if views else []
            cells += [_spread([run[title] for run in runs]) for title in errors]
            cells += [str(len(runs)), f'{sum(run["minutes"] for run in runs) / len(runs):.0f}']
            yield '| ' + ' | '.join([variation.name, *cells]) + ' |'


def _runs(figures: Figures, variation: Variation) -> list[dict[str, float]]:
    runs = figures.get(variation.base, {}).get(variation.name, {}).values()
    return [run for run in runs if _is_whole(variation, run)]


def _is_whole(variation: Variation, run: Mapping[str, float]) -> bool:
    """Whether a training has all figures of its table."""
    return all(name in run for name in (_SHAPE if variation.base == _SCALING else ('recorded',)))


def _spread(values: Sequence[float]) -> str:
    mean = f'{sum(values) / len(values):.4f}'
    return mean if len(values) == 1 else f'{mean} ({min(values):.4f} to {max(values):.4f})'


if __name__ == '__main__':
    sys.exit(main())
