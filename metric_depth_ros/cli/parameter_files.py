# SPDX-License-Identifier: Apache-2.0
"""Parameter files given on the command line. Standard library and `errors` only."""

from __future__ import annotations

from pathlib import Path

from metric_depth_ros.errors import InputError


def check_parameter_file(path: Path) -> None:
    """Refuse a name under which there is no file.

    Raises
    ------
    InputError
        ``params_file``: a folder, or nothing; the message names the option.
    """
    if path.is_file():
        return
    found = 'is a folder' if path.is_dir() else 'does not exist'
    raise InputError(
        'params_file', f'--params-file {path} {found}, expected a YAML file of parameters.'
    )
