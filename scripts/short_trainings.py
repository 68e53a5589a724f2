# SPDX-License-Identifier: Apache-2.0
"""Trainings of a few minutes that differ in one thing, and how well each network does after it.

Trained by `metric-depth train`, measured on examples that none of them saw.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.learned.loading import network_from
from metric_depth_ros.evaluation.metrics import Aggregation
from metric_depth_ros.evaluation.scoring import GroupResult, find_groups, run_group
from metric_depth_ros.framesets import find_frame_sets
from metric_depth_ros.networks.checkpoints import read_checkpoint
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.training.batches import Sources, ValidationExamples
from metric_depth_ros.training.checkpoints import complete_checkpoints, read_state
from metric_depth_ros.training.config import SourceConfig
from metric_depth_ros.training.config_files import find_config
from metric_depth_ros.training.recipes import Prepared, Recipe, create_recipe
from metric_depth_ros.training.sources import ExampleSource
from metric_depth_ros.training.validation import figures_of, predicted
from metric_depth_ros.types import DepthEstimate, Frame

GRAY = 127
_NETWORKS = {  # by recipe
    'compact': 'compact_teacher',
    'compact_student': 'compact_student',
    'teacher': 'teacher',
}


@dataclass(frozen=True)
class Variation:
    """One training of a comparison.

    Attributes
    ----------
    name
        What is different.
    base
        Shipped configuration that it starts from.
    fraction
        Of the first source of examples, in place of that of the configuration.
    options, network
        Of the recipe and of its network, in place of those of the configuration.
    gray
        Whether the network is also measured on gray images. The option `image` of the teacher
        makes them gray itself.
    """

    name: str
    base: str
    fraction: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    network: Mapping[str, Any] = field(default_factory=dict, hash=False)
    gray: bool = False

    def folder(self, out: Path, seed: int) -> Path:
        """Return where the training of one seed lies."""
        name = self.name.replace(' %', ' percent').replace(' ', '_')
        return out / self.base / name / f'seed_{seed}'


def configuration(variation: Variation, seed: int, places: Mapping[str, Path]) -> dict[str, Any]:
    """Return the configuration of a training.

    Parameters
    ----------
    places
        What to put in place of the beginning of a path in the configuration.
    """
    content = yaml.safe_load(find_config(variation.base).read_text('utf-8'))
    config: dict[str, Any] = _moved(content, places)
    config['seed'] = seed
    for section in ('options', 'network'):
        config[section] = {**config.get(section, {}), **getattr(variation, section)}
    if variation.fraction is not None:
        config['data'][0]['fraction'] = variation.fraction
    return config


def train(config: Mapping[str, Any], folder: Path) -> None:
    """Run a training, go on with it, or leave it alone where it is complete."""
    if steps_done(folder) >= config['steps']:
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'config.yaml'
    path.write_text(yaml.safe_dump(dict(config)), 'utf-8')
    command = [sys.executable, '-m', 'metric_depth_ros.cli.main', 'train', config['recipe']]
    resume = ['--resume'] if (folder / 'checkpoints').exists() else []
    subprocess.run([*command, '--config', str(path), '--out', str(folder), *resume], check=True)


def steps_done(folder: Path) -> int:
    """Return the step of the newest checkpoint, 0 before the first."""
    found = complete_checkpoints(folder)
    return int(read_state(found[-1])['step']) if found else 0


def minutes(folder: Path) -> float:
    """Return how long a training took, without its start."""
    lines = map(json.loads, (folder / 'metrics.jsonl').read_text('utf-8').splitlines())
    return sum(float(line.get('seconds', 0.0)) for line in lines) / 60.0


def errors_per_view(
    config: Mapping[str, Any], weights: Path | None, source: SourceConfig, *, gray: bool
) -> list[float]:
    """Return AbsRel of every view of a source, whole, with prompts drawn as in training.

    Parameters
    ----------
    weights
        Of a training of the configuration; None for what the network starts from.
    gray
        Whether the images are gray.
    """
    sources = Sources([source])
    if gray:
        sources.opened = [_Gray(opened) for opened in sources.opened]
    recipe = create_recipe(config['recipe'], config['network'], config['options'], 'ablation')
    network = recipe.build() if weights is None else _trained(config, weights)
    figure = 'baseline_abs_rel' if weights is None else 'abs_rel'
    rows = figures_of(network.eval(), recipe, _prepared(recipe, sources), torch.device('cpu'))
    return [row[figure] for row in rows if np.isfinite(row[figure])]


def errors_of_shape(config: Mapping[str, Any], weights: Path, source: SourceConfig) -> list[float]:
    """Return AbsRel of every view after its median was set to that of the truth."""
    recipe = create_recipe(config['recipe'], config['network'], config['options'], 'ablation')
    network = _trained(config, weights)
    errors = []
    for prepared in _prepared(recipe, Sources([source])):
        truth = prepared.example.depth
        known = np.isfinite(truth)
        if known.any():
            depth = predicted(network, recipe, prepared, torch.device('cpu'))[known]
            depth *= np.median(truth[known]) / np.median(depth)
            errors.append(float(np.mean(np.abs(depth / truth[known] - 1.0))))
    return errors


def _trained(config: Mapping[str, Any], weights: Path) -> nn.Module:
    return network_from(_NETWORKS[config['recipe']], read_checkpoint(weights)).eval()


def _prepared(recipe: Recipe, sources: Sources) -> Iterator[Prepared]:
    examples = ValidationExamples(sources, recipe, 0)
    return filter(None, (examples[number] for number in range(len(examples))))


def errors_per_prompt(frames: Path, estimator: Estimator, *, gray: bool) -> list[float]:
    """Return the mean AbsRel of every scored prompt of recorded frame sets."""
    seen = WithoutImage(estimator) if gray else estimator
    means = []
    for group in find_groups(find_frame_sets([frames])):
        result = GroupResult(group)
        for scored in run_group(group, seen):
            result.add(scored)
        metrics: Any = result.summary(Aggregation.PER_IMAGE)['metrics']
        means.append(float(metrics['abs_rel']))
    return means


class WithoutImage(Estimator):
    """Shows an estimator gray in place of every image."""

    def __init__(self, estimator: Estimator) -> None:
        self.name = estimator.name
        self._estimator = estimator

    def estimate(self, frame: Frame) -> DepthEstimate:
        """Estimate without the image."""
        return self._estimator.estimate(replace(frame, image=np.full_like(frame.image, GRAY)))


class _Gray:
    """A source whose images are gray."""

    def __init__(self, source: ExampleSource) -> None:
        self._source = source
        self.groups: Sequence[int] = source.groups

    def __len__(self) -> int:
        return len(self._source)

    def load(self, index: int) -> Example:
        example = self._source.load(index)
        return replace(example, image=np.full_like(example.image, GRAY))


def _moved(content: Any, places: Mapping[str, Path]) -> Any:
    """Return configuration values with other beginnings of their paths."""
    if isinstance(content, Mapping):
        return {key: _moved(value, places) for key, value in content.items()}
    if isinstance(content, list):
        return [_moved(value, places) for value in content]
    for start, folder in places.items():
        if isinstance(content, str) and content.startswith(f'{start}/'):
            return str(folder / content.removeprefix(f'{start}/'))
    return content
