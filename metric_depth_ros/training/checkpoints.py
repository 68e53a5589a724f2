# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that a training resumes from exactly: plain tensors and JSON, nothing executable.

A checkpoint is a folder with the weights, their running mean and the optimizer's moments as
safetensors, and ``state.json`` with step and configuration. There is no state of random numbers:
those of a step depend on the seed and the step alone. Torch, safetensors.
"""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.checkpoints import read_checkpoint
from metric_depth_ros.whole_files import whole_file

FOLDER = 'checkpoints'
STATE_NAME = 'state.json'
MOMENTS = ('exp_avg', 'exp_avg_sq', 'step')
_PARTIAL = '.partial'


def checkpoint_folder(out: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return out / FOLDER / f'step_{step:08d}'


def complete_checkpoints(out: Path) -> list[Path]:
    """Return the checkpoints of a training, oldest first."""
    found = (path.parent for path in (out / FOLDER).glob(f'step_*/{STATE_NAME}'))
    return sorted(folder for folder in found if folder.suffix != _PARTIAL)


def write_checkpoint(
    out: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], config: Mapping[str, Any]
) -> Path:
    """Write a checkpoint; it appears under its name only when it is complete.

    Parameters
    ----------
    tensors
        File stem -> name -> tensor.
    config
        Plain values.
    """
    folder = checkpoint_folder(out, step)
    partial = folder.with_name(folder.name + _PARTIAL)
    for left in folder.parent.glob(f'*{_PARTIAL}'):  # of a training that was killed
        shutil.rmtree(left, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for stem, named in tensors.items():
            _write_tensors(partial / f'{stem}.safetensors', named)
        state = {'step': step, 'config': config}
        (partial / STATE_NAME).write_text(json.dumps(state, indent=1), 'utf-8')
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def remove_old(out: Path, keep: int) -> None:
    """Remove all but the newest checkpoints."""
    for folder in complete_checkpoints(out)[:-keep] if keep else ():
        shutil.rmtree(folder)


def read_state(folder: Path) -> dict[str, Any]:
    """Return step and configuration of a checkpoint.

    Raises
    ------
    InputError
        It cannot be read.
    """
    path = folder / STATE_NAME
    try:
        state = json.loads(path.read_text('utf-8'))
        return {'step': int(state['step']), 'config': dict(state['config'])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            'training_checkpoint',
            f'{path} cannot be read ({error}): train anew into another folder.',
        ) from error


def newest_checkpoint(out: Path) -> tuple[Path, dict[str, Any]]:
    """Return the newest checkpoint whose state can be read, and the state.

    Raises
    ------
    InputError
        There is none.
    """
    refused = InputError('training_checkpoint', f'{out} has no checkpoint to resume from.')
    for folder in reversed(complete_checkpoints(out)):
        try:
            return folder, read_state(folder)
        except InputError as error:
            refused = error
    raise refused


def read_tensors(folder: Path, stem: str, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the tensors of one file of a checkpoint, which must be just those named.

    Raises
    ------
    InputError
        A file that is absent, damaged, or of another network.
    """
    path = folder / f'{stem}.safetensors'
    state = read_checkpoint(path).state
    wanted = set(names)
    if wanted != state.keys():
        different = sorted(wanted ^ state.keys())
        raise InputError(
            'training_checkpoint',
            f'{path} is of another network: {len(different)} tensors differ, {different[0]} is '
            'the first.',
        )
    return dict(state)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the moments under ``parameter.moment``."""
    return {
        f'{name}.{moment}': optimizer.state[parameter][moment]
        for group in optimizer.param_groups
        for name, parameter in zip(group['names'], group['params'], strict=True)
        for moment in MOMENTS
        if parameter in optimizer.state
    }


def load_optimizer(optimizer: torch.optim.Optimizer, folder: Path, stem: str) -> None:
    """Give the moments back."""
    members = [
        (name, parameter)
        for group in optimizer.param_groups
        for name, parameter in zip(group['names'], group['params'], strict=True)
    ]
    stored = read_tensors(folder, stem, [f'{n}.{m}' for n, _ in members for m in MOMENTS])
    for name, parameter in members:
        optimizer.state[parameter] = {
            moment: stored[f'{name}.{moment}'].to(parameter.device if moment != 'step' else 'cpu')
            for moment in MOMENTS
        }


def write_weights(path: Path, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write weights as they are shipped and loaded: safetensors with the network's shape.

    Parameters
    ----------
    state
        Name -> tensor.
    about
        ``model_config`` and what else is to be known; stored as JSON in the metadata.
    """
    metadata = {key: json.dumps(value) for key, value in about.items()}
    with whole_file(path) as part:
        _write_tensors(part, state, metadata)


def _write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a file that may be read by whoever may read other files of this process.

    Safetensors gives its files to their owner alone: what root trains in a container would be
    closed to the user of the robot.

    Raises
    ------
    InputError
        The file cannot be written: the library's own error says so of a full disk, too.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.touch()  # has the rights that umask and folder give to new files
    rights = stat.S_IMODE(path.stat().st_mode)
    try:
        save_file(ready, path, None if metadata is None else dict(metadata))
    except SafetensorError as error:
        raise InputError(
            'training_out',
            f'{path} cannot be written ({error}): free space there, or choose another --out.',
        ) from error
    path.chmod(rights)
