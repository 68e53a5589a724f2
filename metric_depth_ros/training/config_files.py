# SPDX-License-Identifier: Apache-2.0
"""Configurations by path or by the name of a shipped one. May import `resources`."""

from __future__ import annotations

from pathlib import Path

from metric_depth_ros.errors import InputError
from metric_depth_ros.resources import share_file

_FOLDER = 'config/training'


def find_config(reference: str) -> Path:
    """Return the file of a path, or of a name such as ``'paper_teacher'``.

    Raises
    ------
    InputError
        There is neither.
    """
    path = Path(reference)
    if path.is_file():
        return path
    try:
        return share_file(f'{_FOLDER}/{reference.removesuffix(".yaml")}.yaml')
    except InputError as error:
        raise InputError(
            'training_config',
            f'--config {reference} is neither a file nor the name of a shipped configuration: '
            f'see {_FOLDER}.',
        ) from error
