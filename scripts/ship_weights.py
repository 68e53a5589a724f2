# SPDX-License-Identifier: Apache-2.0
"""Put the weights of a finished training into the package, with how they were made.

    python scripts/ship_weights.py compact_teacher out/training/compact_teacher_cpu

Weights are stored as float16, and refused if that changes answers (to noise, of the compact
student to simulated views) by more than a thousandth of how much they differ among themselves;
what was shipped before then stays.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metric_depth_ros.estimators.learned.depth_tokenizer import tokenizer_network
from metric_depth_ros.estimators.learned.loading import network_from
from metric_depth_ros.estimators.learned.shipped import MANIFEST
from metric_depth_ros.machine import describe_machine
from metric_depth_ros.networks.checkpoints import read_checkpoint
from metric_depth_ros.simulation.examples import simulate_example
from metric_depth_ros.training.checkpoints import complete_checkpoints, read_state, write_weights
from metric_depth_ros.training.config import read_config
from metric_depth_ros.training.recipes import create_recipe
from metric_depth_ros.training.trainer import JOURNAL_NAME, WEIGHTS_NAME

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / 'metric_depth_ros' / 'weights'
CONFIGS = ROOT / 'config' / 'training'
LARGEST_CHANGE = 1e-3
VIEWS, VIEW = range(8), (128, 96)  # seeds, and the size that the compact student works at
NO_SHIPPED_CONFIG = 'FILE is what stands under configuration here; no shipped file says the same'
BUDGET_BYTES = 24 * 2**20  # of all shipped weights together


def main() -> int:
    """Run the command; 0 when the weights are in place."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('name', help='compact_teacher, compact_student or depth_tokenizer')
    parser.add_argument('run', type=Path, help='folder of the training')
    parser.add_argument('--data', default='', help='commands that made the data')
    parser.add_argument('--machine', default='', help='where it was trained; default: here')
    args = parser.parse_args()
    checkpoint = read_checkpoint(args.run / WEIGHTS_NAME)
    path = FOLDER / f'{args.name}.safetensors'
    part = path.with_suffix('.part.safetensors')
    half = {name: tensor.half() for name, tensor in checkpoint.state.items()}
    manifest: dict[str, Any] = json.loads((FOLDER / MANIFEST).read_text('utf-8'))
    try:
        write_weights(part, half, {'model_config': checkpoint.model_config})
        _refuse_loss_of_precision(args.name, args.run / WEIGHTS_NAME, part)
        stored = read_checkpoint(part)
        manifest[args.name] = {
            'file': path.name,
            'sha256': stored.sha256,
            'parameters': sum(tensor.numel() for tensor in stored.state.values()),
            **_history(args.run),
            'data': args.data,
            'machine': args.machine or _machine(),
        }
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    (FOLDER / MANIFEST).write_text(json.dumps(manifest, indent=1) + '\n', 'utf-8')
    total = sum(file.stat().st_size for file in FOLDER.glob('*.safetensors'))
    print(f'{path.name}: {path.stat().st_size / 2**20:.2f} MiB; all: {total / 2**20:.2f} MiB')
    return 0 if total <= BUDGET_BYTES else 1


def _history(run: Path) -> dict[str, Any]:
    """Return command, seed, steps, hours and the last figures of the validation set.

    They are those of this training. What its weights went on from is told by a note.
    """
    state = read_state(complete_checkpoints(run)[-1])
    config = state['config']
    lines = [json.loads(line) for line in (run / JOURNAL_NAME).read_text('utf-8').splitlines()]
    validations = [line for line in lines if line['what'] == 'validation']
    seconds = sum(config['every']['log'] / x['steps_per_s'] for x in lines if x['what'] == 'train')
    return {
        **_command(config, state['step']),
        'configuration': config,
        'seed': config['seed'],
        'steps': state['step'],
        'hours': round(seconds / 3600.0, 2),
        'validation': validations[-1] if validations else {},
    }


def _command(config: dict[str, Any], step: int) -> dict[str, str]:
    """Return the command, and a note where it alone does not make the weights again."""
    shipped = _shipped_config(config)
    until = '' if step >= config['steps'] else f' --until {step}'
    command = f'metric-depth train {config["recipe"]} --config {shipped or "FILE"}{until}'
    notes = [] if shipped else [NO_SHIPPED_CONFIG]
    if config['start_from']:
        notes.append(f'the last of several trainings: it went on from {config["start_from"]}')
    return {'command': command, **({'note': '; '.join(notes)} if notes else {})}


def _shipped_config(config: dict[str, Any]) -> str | None:
    """Return the name of the shipped configuration that says the same, key by key."""
    trained = {key: value for key, value in config.items() if key != 'examples'}
    built = create_recipe(trained['recipe'], trained['network'], {}, 'the training')
    trained['network'] = built.model_config()  # older checkpoints tell what was configured of it
    for path in sorted(CONFIGS.glob('*.yaml')):
        shipped = read_config(path)
        if shipped.recipe == trained['recipe']:
            # A checkpoint tells what its configuration leaves out of network and options, too.
            recipe = create_recipe(shipped.recipe, shipped.network, shipped.options, str(path))
            network, options = recipe.model_config(), recipe.plain_options
            said = {**shipped.plain(), 'network': network, 'options': options}
            if json.loads(json.dumps(said)) == json.loads(json.dumps(trained)):
                return path.stem
    return None


def _machine() -> str:
    machine = describe_machine()
    return f'{machine["processor"]}, {machine["cores"]} cores'


def _refuse_loss_of_precision(name: str, exact: Path, half: Path) -> None:
    """Compare the answers of both weights."""
    answers = []
    for path in (exact, half):
        checkpoint = read_checkpoint(path)
        tokenizer = name == 'depth_tokenizer'
        network = tokenizer_network(checkpoint) if tokenizer else network_from(name, checkpoint)
        with torch.inference_mode():
            answers.append(network(*_inputs(name))[0])
    change = float((answers[0] - answers[1]).abs().mean() / answers[0].std())
    if not change <= LARGEST_CHANGE:
        share = f'{change:.2g} of their spread'
        sys.exit(f'float16 changes answers by {share}: store float32 instead.')


def _inputs(name: str) -> list[torch.Tensor]:
    """Return what a network is asked."""
    if name == 'compact_student':
        # What noise is answered has hardly any spread, however good the network is.
        views = [simulate_example(seed, 'validation', 'cpu', 'street', VIEW) for seed in VIEWS]
        images = torch.from_numpy(np.stack([view.image for view in views]))
        return [images.permute(0, 3, 1, 2)]
    torch.manual_seed(0)
    if name == 'compact_teacher':
        from metric_depth_ros.networks.compact_teacher import INPUT_CHANNELS, SUBPIXELS

        side = 32
        fine = torch.randn(1, 1, side * SUBPIXELS, side * SUBPIXELS)
        return [torch.randn(1, INPUT_CHANNELS, side, side), fine]
    return [torch.randn(1, 1, 320, 320)]


if __name__ == '__main__':
    sys.exit(main())
