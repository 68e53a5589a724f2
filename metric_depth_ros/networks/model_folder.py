# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that are folders, as transformers writes them: configuration, tokenizer, weights.

Weights are safetensors, in one file or several; nothing in them is executed. Imports torch,
huggingface_hub when an id is given that is not here, transformers when it is asked what a folder
describes, `errors` and siblings.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.checkpoints import Checkpoint, read_checkpoint
from metric_depth_ros.networks.config_limits import refuse_excess
from metric_depth_ros.networks.hub import (
    cached_checkpoint,
    fetch_command,
    require_id,
    require_repository,
)
from metric_depth_ros.resources import user_path

CONFIG = 'config.json'
_WEIGHTS = 'model.safetensors'
_INDEX = 'model.safetensors.index.json'
_SUFFIX = '.safetensors'
_MAX_JSON_BYTES = 64 * 1024 * 1024
_COMPUTED_NUMBERS = 1 << 24  # of buffers that are in no file
_FETCHED = ('*.json', '*.safetensors', '*.txt', '*.jinja')


def resolve_folder(reference: str, revision: str | None = None) -> Path:
    """Return the local folder of a checkpoint, fetched from the hub when it is not here yet.

    Parameters
    ----------
    reference
        A folder, or a Hugging Face id ``owner/name``.
    revision
        Commit, tag or branch; the default branch when None.

    Raises
    ------
    InputError
        `checkpoint_missing`: no such folder, no such repository, or no way to reach it.
    """
    path = user_path(reference)
    if path.is_dir():
        return path
    require_id(reference)
    cached = _cached(reference, revision)
    if cached is not None:
        return cached
    require_repository(reference, revision)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(reference, revision=revision, allow_patterns=list(_FETCHED)))
    except (HfHubHTTPError, OSError) as error:
        raise InputError(
            'checkpoint_missing',
            f'{reference} could not be fetched ({type(error).__name__}): with a connection, run '
            f'`{fetch_command(reference, "", revision)}`.',
        ) from error


def read_folder(folder: Path) -> Checkpoint:
    """Read all weights of a folder, and its configuration as the ``model_config``.

    Raises
    ------
    InputError
        A folder without configuration or weights, or files that cannot be read or that are named
        as if they lay elsewhere, or a tensor that two of them have.
    """
    config = read_config(folder)
    files = weight_files(folder)
    state: dict[str, Tensor] = {}
    digests = []
    for path in files:
        part = read_checkpoint(path)
        twice = sorted(part.state.keys() & state.keys())
        if twice:
            raise InputError(
                'checkpoint_format', f'{path} has {twice[0]} once more: fetch {folder} again.'
            )
        state.update(part.state)
        digests.append(part.sha256)
    return Checkpoint(folder, _digest(digests), state, config)


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a folder, within the limits of any network.

    Raises
    ------
    InputError
        `checkpoint_config`: it cannot be read, or it asks for more.
    """
    path = folder / CONFIG
    config = _read_json(path)
    refuse_excess(config, str(path))
    return config


def refuse_claims(folder: Path, kind: Any) -> None:
    """Refuse a network of many more numbers than its weight files have bytes.

    Numbers that no file has are made up by transformers, and memory is filled with them, before
    it tells that they are missing.

    Parameters
    ----------
    folder
        Configuration and weights.
    kind
        Auto class of transformers that makes the network.

    Raises
    ------
    InputError
        `checkpoint_config`; whatever transformers raises where there is no such network.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )
    with torch.device('meta'):
        network = kind.from_config(config, trust_remote_code=False)
    claimed = sum(part.numel() for part in (*network.parameters(), *network.buffers()))
    held = sum(path.stat().st_size for path in weight_files(folder))
    if claimed > 2 * held + _COMPUTED_NUMBERS:
        raise InputError(
            'checkpoint_config',
            f'{folder / CONFIG} describes a network of {claimed} numbers, its weight files have '
            f'{held} bytes: they do not belong together. Fetch {folder} again.',
        )


def weight_files(folder: Path) -> list[Path]:
    """Return the weight files of a folder, all of them there.

    Raises
    ------
    InputError
        `checkpoint_missing`: none, fewer than its index lists, or others than safetensors.
    """
    index = folder / _INDEX
    names = [_WEIGHTS]
    if index.is_file():
        listed = _read_json(index).get('weight_map')
        names = sorted({str(name) for name in listed.values()}) if isinstance(listed, dict) else []
    strange = [name for name in names if Path(name).name != name or Path(name).suffix != _SUFFIX]
    missing = [name for name in names if name not in strange and not (folder / name).is_file()]
    if not names or strange or missing:
        lacking = ', '.join([*strange, *missing][:4]) or _INDEX
        raise InputError(
            'checkpoint_missing',
            f'the folder {folder} lacks weights ({lacking}): '
            f'expected {_WEIGHTS}, or {_INDEX} and the files it lists; pickled weights are not '
            'opened. Fetch it again.',
        )
    return [folder / name for name in names]


def pickled_weights(folder: Path) -> list[Path]:
    """Return the weight files of a folder that are pickles, where it has no others."""
    return [] if any(folder.glob(f'*{_SUFFIX}')) else sorted(folder.glob('*.bin'))


def _cached(repository: str, revision: str | None) -> Path | None:
    """Return the folder in the local cache if all of it is there, usable or not."""
    config = cached_checkpoint(repository, CONFIG, revision)
    if config is None:
        return None
    try:
        weight_files(config.parent)
    except InputError:
        return config.parent if pickled_weights(config.parent) else None
    return config.parent


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ValueError(f'it is larger than {_MAX_JSON_BYTES} bytes')
        content = json.loads(path.read_text('utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            'checkpoint_config', f'{path} cannot be read ({reason}): fetch its folder again.'
        ) from error
    if not isinstance(content, dict):
        raise InputError('checkpoint_config', f'{path} is not a JSON object.')
    return content


def _digest(digests: list[str]) -> str:
    """Return the digest of a file, or over those of several, in the order of their names."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256('\n'.join(digests).encode()).hexdigest()
