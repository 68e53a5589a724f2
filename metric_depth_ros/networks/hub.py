# SPDX-License-Identifier: Apache-2.0
"""Where a checkpoint is: a local file, the local Hugging Face cache, or the hub itself.

Imports huggingface_hub when an id is given, never before, and `errors`.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path

from metric_depth_ros.errors import InputError
from metric_depth_ros.resources import user_path

# A robot without a connection learns so at once; the hub's own library retries for half a minute.
REACH_TIMEOUT_S = 4.0

# What huggingface_hub takes for an id; it raises errors of its own at anything else.
_REPOSITORY = re.compile(r'(?!.*(--|\.\.))\b[\w.-]{1,96}\b/\b[\w.-]{1,96}\b', re.ASCII)
_FILE_SUFFIX = re.compile(r'\.(safetensors|pt|pth|bin|ckpt|git)$')
_NAMED_AT_MOST = 8  # files of a folder


def resolve_checkpoint(reference: str, filename: str, revision: str | None = None) -> Path:
    """Return the local file of a checkpoint, fetched from the hub when it is not here yet.

    Parameters
    ----------
    reference
        A file, a folder that holds `filename`, or a Hugging Face id ``owner/name``.
    filename
        File of that repository; empty for networks whose files have no usual name.
    revision
        Commit, tag or branch; the default branch when None.

    Raises
    ------
    InputError
        No such file, no such repository or file on the hub, or no way to reach it; the message
        has the command that fetches it.
    """
    path = user_path(reference)
    if path.is_dir():
        return _file_in(path, filename)
    if path.is_file():
        return path
    require_id(reference)
    return cached_checkpoint(reference, filename, revision) or _download(
        reference, filename, revision
    )


def _file_in(folder: Path, filename: str) -> Path:
    """Return the file of a folder; where it has none of that name, it is to be named."""
    path = folder / filename
    if path.is_file():
        return path
    there = sorted(p.name for p in folder.glob('*') if p.suffix in ('.safetensors', '.pt'))
    shown = ', '.join(there[:_NAMED_AT_MOST])
    raise InputError(
        'checkpoint_missing',
        f'{folder} is a folder{f" without {filename}" if filename else ""}: name the checkpoint '
        f'file in it ({shown or "there is no .safetensors and no .pt"}).',
    )


def require_id(reference: str) -> None:
    """Refuse what cannot be the id of a repository.

    Raises
    ------
    InputError
        `checkpoint_missing`: most often the path of a file or a folder that is not there.
    """
    if _FILE_SUFFIX.search(reference) or not _REPOSITORY.fullmatch(reference):
        raise InputError(
            'checkpoint_missing',
            f'{reference!r} is neither a checkpoint file nor a Hugging Face id owner/name.',
        )


def require_repository(repository: str, revision: str | None = None) -> None:
    """Refuse a model of transformers that the hub does not have, or a hub out of reach.

    Raises
    ------
    InputError
        As in `resolve_checkpoint`; the command fetches the whole repository.
    """
    require_id(repository)
    _require_answer(repository, 'config.json', revision, fetch_command(repository, '', revision))


def cached_checkpoint(repository: str, filename: str, revision: str | None = None) -> Path | None:
    """Return the file in the local Hugging Face cache, or None; never touches the network."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(repository, filename, revision=revision)
    return Path(found) if isinstance(found, str) else None


def fetch_command(repository: str, filename: str = '', revision: str | None = None) -> str:
    """Return the shell command that brings the file, or all files, into the local cache."""
    words = ['hf download', repository, filename, f'--revision {revision}' if revision else '']
    return ' '.join(filter(None, words))


def _download(repository: str, filename: str, revision: str | None) -> Path:
    command = fetch_command(repository, filename, revision)
    _require_answer(repository, filename, revision, command)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(repository, filename, revision=revision))
    except (HfHubHTTPError, OSError) as error:
        raise _missing(f'{filename} of {repository}', _reason(error), command) from error


def _require_answer(repository: str, filename: str, revision: str | None, command: str) -> None:
    """Refuse, with the command that fetches it, what the hub does not offer now."""
    what = f'{filename} of {repository}'
    try:
        _reach(repository, filename, revision)
    except ImportError as error:
        raise InputError(
            'checkpoint_missing',
            f'{what} is not on this machine and huggingface_hub is not installed: run '
            f'`pip install huggingface_hub`, then `{command}`.',
        ) from error
    except Exception as error:  # of several HTTP libraries, one for each version of the hub's
        raise _missing(what, _reason(error), command) from error


def _missing(what: str, reason: str, command: str) -> InputError:
    return InputError(
        'checkpoint_missing',
        f'{what} is not on this machine and {reason}: with a connection, run `{command}`.',
    )


def _reach(repository: str, filename: str, revision: str | None) -> None:
    """Ask the hub for a file once, without retrying.

    In a thread of its own: looking up a name can take long where there is no network, whatever
    the timeout of the connection.

    Raises
    ------
    TimeoutError
        Nothing has answered within `REACH_TIMEOUT_S`.
    Exception
        What the hub's library makes of a connection that fails, or of the hub's refusal.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    faults: list[Exception] = []

    def ask() -> None:
        try:
            url = hf_hub_url(repository, filename, revision=revision)
            get_hf_file_metadata(url, timeout=REACH_TIMEOUT_S)
        except Exception as error:
            faults.append(error)

    asking = threading.Thread(target=ask, name='hub', daemon=True)
    asking.start()
    asking.join(REACH_TIMEOUT_S)
    if asking.is_alive():
        raise TimeoutError(f'no answer within {REACH_TIMEOUT_S:g} s')
    for error in faults:
        raise error


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
    if isinstance(error, errors.HfHubHTTPError | errors.HFValidationError):
        return f'the hub did not give it ({type(error).__name__})'
    return 'the hub cannot be reached'
