# SPDX-License-Identifier: Apache-2.0
"""``metric-depth models``: what the learned models are, and whether ours are the released ones."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metric_depth_ros.estimators.catalog import Model


_LABEL_WIDTH = 12
_OTHERS = (
    ('hf:ID', 'any metric depth-estimation model of transformers; Prompt Depth Anything takes the '
     'prompt. Licenses are those of its card'),
    ('composed:NAME', 'any of these aligned to the prompt; NAME as above'),
    ('classical', 'no weights'),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    actions = parser.add_subparsers(dest='action', metavar='[check]')
    check = actions.add_parser('check', help='compare keys and shapes with the published ones')
    check.add_argument('names', nargs='*', metavar='NAME', help='of `metric-depth models`')
    check.add_argument('--all', action='store_true', help='all models')
    check.add_argument(
        '--released',
        type=Path,
        metavar='FILE',
        help='JSON of key -> shape of one checkpoint; default: the digest in this package, where '
        'it has one',
    )
    check.add_argument(
        '--weights',
        default='',
        metavar='W',
        help='load this checkpoint (file or Hugging Face id) too, strictly, and tell its SHA-256',
    )


def run(args: argparse.Namespace) -> int:
    """List the models, or check them: 1 when one differs from what was published."""
    return _check(args) if args.action == 'check' else _list()


def _list() -> int:
    from metric_depth_ros.estimators.catalog import MODELS

    for model in MODELS.values():
        print(model.name)
        for label, text in _rows(model):
            _print_row(label, text)
        print()
    for name, text in _OTHERS:
        _print_row(name, text, indent='', width=15)
    return 0


def _rows(model: Model) -> Iterator[tuple[str, str]]:
    from metric_depth_ros.estimators.learned.shipped import manifest

    shipped = manifest().get(model.name)
    parameters = model.parameters if shipped is None else shipped['parameters']
    yield 'task', model.task
    if parameters is not None:
        yield 'parameters', f'{parameters:,}'
    yield 'license', model.license
    if shipped is not None:
        yield 'weights', f'shipped with this package: {shipped["file"]}'
        return
    if not model.repository:
        yield 'weights', 'none published, none shipped; --weights FILE'
        return
    repositories = {'weights': model.repository}
    repositories |= {f':{variant}': where for variant, where in model.variants.items()}
    for label, repository in repositories.items():
        yield label, f'{repository}, {_state(repository, model.filename)}'


def _state(repository: str, filename: str) -> str:
    from metric_depth_ros.networks.hub import cached_checkpoint, fetch_command

    path = cached_checkpoint(repository, filename or 'config.json')
    if path is not None:
        return f'on this machine: {path}'
    return f'not on this machine: {fetch_command(repository, filename)}'


def _print_row(label: str, text: str, indent: str = '  ', width: int = _LABEL_WIDTH) -> None:
    columns = min(shutil.get_terminal_size().columns, 99)
    print(
        textwrap.fill(
            text,
            columns,
            initial_indent=f'{indent}{label:{width}}',
            subsequent_indent=indent + ' ' * width,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def _check(args: argparse.Namespace) -> int:
    from metric_depth_ros.errors import InputError
    from metric_depth_ros.estimators.catalog import MODELS
    from metric_depth_ros.estimators.learned.key_check import check_keys, read_released

    names = list(MODELS) if args.all else args.names
    unknown = [name for name in names if name not in MODELS]
    if unknown or not names:
        raise InputError(
            'model',
            f'{unknown[0] if unknown else "no model"}: expected one of {", ".join(MODELS)}, or '
            '--all.',
        )
    if (args.released is not None or args.weights) and len(names) != 1:
        raise InputError('model', '--released and --weights are of one model: name that one.')
    released = None if args.released is None else read_released(args.released)
    differing = 0
    for name in names:
        report = check_keys(name, released)
        differing += bool(report.differences)
        verdict = 'FAIL' if report.differences else 'ok  ' if report.compared else 'none'
        compared = f'compared with {report.compared}'
        said = compared if report.compared else 'not compared: no key list in this package'
        print(f'{verdict}  {name}  {report.parameters:,} parameters, {report.keys} keys; {said}')
        for difference in report.differences:
            print(f'      {difference}')
    if args.weights:
        _load(names[0], args.weights)
    return 1 if differing else 0


def _load(name: str, weights: str) -> None:
    from metric_depth_ros.estimators.learned.loading import network_from, read_weights
    from metric_depth_ros.estimators.options import EstimatorOptions

    options = EstimatorOptions(weights=weights)
    options.refuse_weights_of_others([name])
    checkpoint = read_weights(name, options)
    network_from(name, checkpoint)
    print(f'ok    {name}  {checkpoint.path} loads, sha256 {checkpoint.sha256}')
