# SPDX-License-Identifier: Apache-2.0
"""The weights that come with the package: where they lie, and that they are the ones meant.

Standard library, until weights are read.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metric_depth_ros.errors import InputError

if TYPE_CHECKING:
    from metric_depth_ros.networks.checkpoints import Checkpoint

_PACKAGE = 'metric_depth_ros'
MANIFEST = 'MANIFEST.json'


def weights_folder() -> Path:
    """Return the folder of the shipped weights and their manifest."""
    return Path(str(resources.files(_PACKAGE) / 'weights'))


@lru_cache(maxsize=1)
def manifest() -> dict[str, Any]:
    """Return what is known of every shipped model: file, sha256, parameters, how it was made."""
    models: dict[str, Any] = json.loads((weights_folder() / MANIFEST).read_text())
    return models


def shipped_checkpoint(name: str) -> Checkpoint:
    """Return the weights of a network of the manifest.

    Raises
    ------
    InputError
        Weights that are absent or not the ones of the manifest: a broken installation.
    """
    from metric_depth_ros.networks.checkpoints import read_checkpoint

    entry = manifest()[name]
    checkpoint = read_checkpoint(weights_folder() / entry['file'])
    if checkpoint.sha256 != entry['sha256']:
        raise InputError(
            'checkpoint_digest',
            f'{checkpoint.path} has sha256 {checkpoint.sha256}, expected {entry["sha256"]}: '
            'reinstall the package.',
        )
    return checkpoint
