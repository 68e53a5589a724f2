# SPDX-License-Identifier: Apache-2.0
"""Output paths given on the command line: refused before the work, or written whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path

from metric_depth_ros import whole_files
from metric_depth_ros.errors import InputError


def refuse_one_for_two(files: Mapping[str, str | Path | None]) -> None:
    """Refuse one name for two files to write.

    Parameters
    ----------
    files
        By option; None where it is not given.

    Raises
    ------
    InputError
        The second file would replace the first; the message names both options.
    """
    given = {option: Path(path) for option, path in files.items() if path is not None}
    for (option, path), (other, same) in combinations(given.items(), 2):
        if path.resolve() == same.resolve():
            raise InputError(
                'output_path', f'{option} and {other} are both {path}: name two files.'
            )


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


@contextmanager
def folder_for(path: Path, option: str) -> Iterator[None]:
    """Make a folder to write into; a refusal that comes before anything is in it removes it.

    Raises
    ------
    InputError
        As `prepare_folder`.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    prepare_folder(path, option)
    try:
        yield
    except InputError:
        with suppress(OSError):  # the first that holds something stays, and those above it
            for folder in made:
                folder.rmdir()
        raise


@contextmanager
def writing(path: Path, option: str) -> Iterator[None]:
    """Make a failure to write a refusal that names the option.

    Raises
    ------
    InputError
        ``output_unwritable``: the disk is full, or something is in the way.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            'output_unwritable',
            f'{option} {path} cannot be written: {error.strerror or error}. Free space, or name '
            'another place.',
        ) from error


@contextmanager
def whole_file(path: Path, option: str) -> Iterator[Path]:
    """Give a file to write, as `whole_files.whole_file` does.

    Raises
    ------
    InputError
        As `writing`.
    """
    with writing(path, option), whole_files.whole_file(path) as part:
        yield part
