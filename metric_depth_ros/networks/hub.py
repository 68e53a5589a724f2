# SPDX-License-Identifier: Apache-2.0
"""Where a checkpoint is: a local file, the local Hugging Face cache, or the hub itself.

Imports huggingface_hub when an id is given, never before, and `errors`.
"""

from __future__ import annotations

import re
from pathlib import Path

from metric_depth_ros.errors import InputError

_REPOSITORY = re.compile(r'[\w][\w.-]*/[\w][\w.-]*')
_FILE_SUFFIX = re.compile(r'\.(safetensors|pt|pth|bin|ckpt)$')


def resolve_checkpoint(reference: str, filename: str, revision: str | None = None) -> Path:
    """Return the local file of a checkpoint, fetched from the hub when it is not here yet.

    Parameters
    ----------
    reference
        A file, a folder that holds `filename`, or a Hugging Face id ``owner/name``.
    filename
        File of that repository.
    revision
        Commit, tag or branch; the default branch when None.

    Raises
    ------
    InputError
        No such file, no such repository or file on the hub, or no way to reach it; the message
        has the command that fetches it.
    """
    path = Path(reference).expanduser()
    if path.is_dir():
        path = path / filename
    if path.is_file():
        return path
    if _FILE_SUFFIX.search(reference) or not _REPOSITORY.fullmatch(reference):
        raise InputError(
            'checkpoint_missing',
            f'{reference} is neither a checkpoint file nor a Hugging Face id owner/name.',
        )
    return cached_checkpoint(reference, filename, revision) or _download(
        reference, filename, revision
    )


def cached_checkpoint(repository: str, filename: str, revision: str | None = None) -> Path | None:
    """Return the file in the local Hugging Face cache, or None; never touches the network."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(repository, filename, revision=revision)
    return Path(found) if isinstance(found, str) else None


def fetch_command(repository: str, filename: str, revision: str | None = None) -> str:
    """Return the shell command that brings the file into the local cache."""
    suffix = '' if revision is None else f' --revision {revision}'
    return f'hf download {repository} {filename}{suffix}'


def _download(repository: str, filename: str, revision: str | None) -> Path:
    command = fetch_command(repository, filename, revision)
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise InputError(
            'checkpoint_missing',
            f'{filename} of {repository} is not on this machine and huggingface_hub is not '
            f'installed: run `pip install huggingface_hub`, then `{command}`.',
        ) from error
    try:
        return Path(hf_hub_download(repository, filename, revision=revision))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise InputError(
            'checkpoint_missing',
            f'{filename} of {repository} is not on this machine and {_reason(error)}: with a '
            f'connection, run `{command}`.',
        ) from error


def _reason(error: Exception) -> str:
    """Say in a few words why the hub did not give the file."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return 'its license must be accepted on its page first (then `hf auth login`)'
    if isinstance(error, errors.RepositoryNotFoundError):
        return 'the hub has no such public repository'
    if isinstance(error, errors.RevisionNotFoundError):
        return 'the repository has no such revision'
    if isinstance(error, errors.LocalEntryNotFoundError):
        return 'the hub cannot be reached'
    if isinstance(error, errors.EntryNotFoundError):
        return 'the repository has no such file'
    return f'the hub did not give it ({type(error).__name__})'
