# SPDX-License-Identifier: Apache-2.0
"""Output paths given on the command line, refused before the work instead of after it."""

from __future__ import annotations

import os
from pathlib import Path

from metric_depth_ros.errors import InputError


def prepare_file(path: Path, option: str) -> None:
    """Make the folder of a file to write.

    Raises
    ------
    InputError
        The file cannot be written there; the message names the option.
    """
    if path.is_dir():
        raise InputError('output_path', f'{option} {path} is a folder, expected a file name.')
    prepare_folder(path.parent, option)


def prepare_folder(path: Path, option: str) -> None:
    """Make a folder to write into.

    Raises
    ------
    InputError
        It cannot be made or written into; the message names the option.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            'output_path', f'{option}: the folder {path} cannot be made: {error.strerror}.'
        ) from error
    if not os.access(path, os.W_OK):
        raise InputError('output_path', f'{option}: the folder {path} cannot be written into.')
