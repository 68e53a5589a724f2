# SPDX-License-Identifier: Apache-2.0
"""Train a compact student briefly in several ways and compare them by distance.

    python scripts/student_ablations.py out/shards docs/ABLATIONS.md

Each variation of `config/training/ablation_compact_student.yaml` is a training of its own; run
again, the script goes on where it was. Figures are of the simulated validation set. The table
goes between the document's `figures:student` markers.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from figures import fill
from numpy.typing import NDArray
from short_trainings import train

from metric_depth_ros.estimators.learned.loading import network_from
from metric_depth_ros.evaluation.metrics import depth_metrics
from metric_depth_ros.networks.checkpoints import read_checkpoint
from metric_depth_ros.training.batches import Sources, ValidationExamples
from metric_depth_ros.training.config import SourceConfig
from metric_depth_ros.training.config_files import find_config
from metric_depth_ros.training.recipes import create_recipe
from metric_depth_ros.training.validation import predicted

BASE = 'ablation_compact_student'
BANDS_M = (0.0, 2.0, 10.0, 20.0, 40.0, 80.0)
MEDIAN_M = 3.0  # of the training views' median depths
_LEAST_PIXELS = 100  # of a view in a band
VARIATIONS: Mapping[str, Mapping[str, Any]] = {
    'inverted skips, distance-balanced': {},
    'U-Net skips': {'network': {'skips': 'unet'}},
    'error of inverse depth': {'options': {'quantity': 'inverse'}},
    'error of depth': {'options': {'quantity': 'depth'}},
    'the first from another seed': {'seed': 1},
    'error of log depth': {'options': {'quantity': 'log'}},
}


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('shards', type=Path, help='folder with train and validation')
    parser.add_argument('document', type=Path, help='Markdown file to write the table into')
    parser.add_argument('--out', type=Path, default=Path('out/student_ablations'))
    args = parser.parse_args()
    base: dict[str, Any] = yaml.safe_load(find_config(BASE).read_text('utf-8'))
    base['data'] = [{'path': str(args.shards / 'train')}]
    rows = {f'{MEDIAN_M:g} m everywhere': _figures(base, args.shards, None)}
    for name, changes in VARIATIONS.items():
        folder = args.out / name.replace(' ', '_').replace(',', '')
        config = _changed(base, changes)
        train(config, folder)
        rows[name] = _figures(config, args.shards, folder / 'weights.safetensors')
        fill(args.document, {'student': '\n'.join(_table(rows))})
    return 0


def _changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with other values, section by section."""
    return dict(base) | {
        key: {**base[key], **value} if isinstance(value, Mapping) else value
        for key, value in changes.items()
    }


def _figures(config: Mapping[str, Any], shards: Path, weights: Path | None) -> tuple[float, ...]:
    """Return AbsRel and delta1 of all pixels, then AbsRel by band: means over views.

    Without weights they are those of one depth everywhere.
    """
    recipe = create_recipe(config['recipe'], config['network'], config['options'], BASE)
    network = None
    if weights is not None:
        network = network_from(config['recipe'], read_checkpoint(weights))
    sources = Sources([SourceConfig(str(shards / 'validation'))])
    examples = ValidationExamples(sources, recipe, 0)
    rows = []
    for number in range(len(examples)):
        prepared = examples[number]
        if prepared is not None:
            truth = prepared.example.depth
            depth = np.full_like(truth, MEDIAN_M)
            if network is not None:
                depth = predicted(network, recipe, prepared, torch.device('cpu'))
            rows.append(_errors(depth, truth))
    return tuple(float(mean) for mean in np.nanmean(rows, axis=0))


def _errors(depth: NDArray[np.float32], truth: NDArray[np.float32]) -> list[float]:
    """Return the figures of one view; NaN for a band that it hardly has."""
    known = np.where(np.isfinite(truth), truth, np.float32(np.nan))
    overall = depth_metrics(depth, known)
    figures = [overall['abs_rel'], overall['delta1']]
    for near, far in zip(BANDS_M, (*BANDS_M[1:], np.inf), strict=True):
        band = (known >= near) & (known < far)
        error = np.abs(depth[band] / known[band] - 1.0)
        figures.append(float(error.mean()) if error.size >= _LEAST_PIXELS else np.nan)
    return figures


def _table(rows: Mapping[str, Sequence[float]]) -> Iterator[str]:
    bands = [f'{a:g}-{b:g} m' for a, b in itertools.pairwise(BANDS_M)]
    columns = ['AbsRel', 'delta1', *bands, f'beyond {BANDS_M[-1]:g} m']
    yield '| training | ' + ' | '.join(columns) + ' |'
    yield '|---|' + '---:|' * len(columns)
    for name, figures in rows.items():
        yield f'| {name} | ' + ' | '.join(f'{figure:.3f}' for figure in figures) + ' |'


if __name__ == '__main__':
    sys.exit(main())
