# SPDX-License-Identifier: Apache-2.0
"""The two formats of checkpoint files, read without trusting them.

Whatever a file claims, nothing in it is executed, and reading it takes time and memory in
proportion to its size. Links are followed, for the cache of Hugging Face consists of them; what is
no regular file in the end is not opened. Imports torch, `errors`, siblings and, when needed,
safetensors.

Source: the documentation of `torch.load` and of safetensors; CVE-2025-32434 for the oldest torch.
"""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.key_names import State
from metric_depth_ros.networks.pickled_values import names_in, refuse_bulk

_SAFETENSORS_SUFFIX = '.safetensors'
_TORCH_SUFFIXES = ('.pt', '.pth', '.bin', '.ckpt')
_STATE_KEYS = ('model', 'state_dict')
_CONFIG_KEY = 'model_config'
_SAFE_TORCH = (2, 6)  # older ones can be made to run code by a file, weights only or not
# All that the pickle of a state dict asks for; nothing of it makes more of less.
_PLAIN_NAME = re.compile(
    r'collections\.(OrderedDict|Counter)|torch\.(Size|[A-Z]\w*Storage|storage\.UntypedStorage'
    r'|bool|bfloat16|u?int\d+|float\d\w*|complex\d+)'
    r'|torch\._utils\._rebuild_(tensor_v2|tensor_v3|parameter)'
)
_NAMED_AT_MOST = 8
_LARGEST_PICKLE_BYTES = 1 << 21  # ten times that of the released network with most weights
_LARGEST_CONFIG = 1_000_000  # characters; released ones have some hundred
_LONGEST_TEXT = 200


class FileContent(NamedTuple):
    """What a checkpoint file holds.

    Parameters
    ----------
    state
        Official key -> dense tensor on the CPU, finite.
    model_config
        Constructor arguments that the authors stored with the weights, unchecked values of JSON,
        or None.
    """

    state: State
    model_config: Mapping[str, Any] | None


def read_file(path: Path) -> FileContent:
    """Read a file of either format, told by its suffix; see `checkpoints.read_checkpoint`."""
    _refuse_unreadable(path)
    if path.suffix == _SAFETENSORS_SUFFIX:
        content = _read_safetensors(path)
    elif path.suffix in _TORCH_SUFFIXES:
        content = _read_torch_file(path)
    else:
        raise InputError(
            'checkpoint_format',
            f'the checkpoint {path} has the suffix {path.suffix!r}, expected one of '
            f'{", ".join((_SAFETENSORS_SUFFIX, *_TORCH_SUFFIXES))}.',
        )
    _refuse_claims(path, content.state)
    refuse_not_finite(path, content.state)
    return content


def listed(names: Iterable[str]) -> str:
    """Return names from a file for a message: a few of them, printable."""
    every = list(names)
    more = len(every) - _NAMED_AT_MOST
    shown = ', '.join(_printable(name) for name in every[:_NAMED_AT_MOST])
    return shown + (f' and {more} more' if more > 0 else '')


def first_line(error: Exception) -> str:
    """Return what an error says, in one line."""
    return _printable((str(error).strip() or type(error).__name__).splitlines()[0])


def refuse_not_finite(source: Path | str, state: State) -> None:
    """Refuse weights that are NaN or infinite.

    Parameters
    ----------
    source
        Where they come from, for the message.
    state
        Name -> tensor.

    Raises
    ------
    InputError
        `checkpoint_not_finite`.
    """
    if bad := not_finite(state):
        raise InputError(
            'checkpoint_not_finite',
            f'the checkpoint {source} has NaN or infinite weights: {len(bad)} ({listed(bad)}). '
            'It is damaged or comes from a training that diverged; fetch it again.',
        )


def not_finite(state: State) -> list[str]:
    """Return the names of weights that are NaN or infinite."""
    return [key for key, tensor in state.items() if not _is_finite(tensor)]


def _refuse_unreadable(path: Path) -> None:
    """Refuse what cannot be opened, by the reason that the system gives.

    Safetensors calls every such file absent, and its readers would call it damaged.
    """
    try:
        if not path.is_file():
            raise InputError('checkpoint_missing', f'the checkpoint {path} is not a file.')
        path.open('rb').close()
    except OSError as error:
        remedy = (
            'give the user who runs this the right to read it (chmod a+r) and to enter its folders'
            if isinstance(error, PermissionError)
            else 'check the file system that it is on'
        )
        raise InputError(
            'checkpoint_unreadable',
            f'the checkpoint {path} cannot be opened ({error.strerror or error}): {remedy}.',
        ) from error


def _printable(text: str) -> str:
    short = text if len(text) <= _LONGEST_TEXT else f'{text[:_LONGEST_TEXT]} ...'
    return short if short.isprintable() else ascii(short)


def _read_safetensors(path: Path) -> FileContent:
    """Read a file whose format holds no code; the library holds all sizes against the file's."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework='pt', device='cpu') as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError) as error:
        raise _damaged(path, first_line(error)) from error
    if _CONFIG_KEY not in metadata:
        return FileContent(state, None)
    try:
        if len(metadata[_CONFIG_KEY]) > _LARGEST_CONFIG:
            raise ValueError(f'more than {_LARGEST_CONFIG} characters')
        model_config = json.loads(metadata[_CONFIG_KEY])
    except (ValueError, RecursionError) as error:
        raise InputError(
            'checkpoint_config',
            f'the metadata {_CONFIG_KEY} of {path} cannot be read: {first_line(error)}.',
        ) from error
    return FileContent(state, _plain_config(path, model_config))


def _read_torch_file(path: Path) -> FileContent:
    _refuse_old_torch(path)
    _refuse_other_archives(path)
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:  # whose message tells how to open it all the same
        raise _damaged(
            path, 'it holds something else than tensors, which is not opened'
        ) from error
    except Exception as error:  # a damaged stream can make the unpickler raise anything
        raise _damaged(path, first_line(error)) from error
    content = _plain_dict(path, content)
    key = next((k for k in _STATE_KEYS if isinstance(content.get(k), dict)), None)
    state = content if key is None else _plain_dict(path, content[key])
    others = [
        f'{name if isinstance(name, str) else type(name).__name__}: {type(value).__name__}'
        for name, value in state.items()
        if not (isinstance(name, str) and _is_dense(value))
    ]
    if others or not state:
        raise _not_a_state(path, listed(others) or 'nothing')
    model_config = content.get(_CONFIG_KEY)
    return FileContent(state, None if model_config is None else _plain_config(path, model_config))


def _plain_dict(path: Path, value: Any) -> dict[Any, Any]:
    """Copy a dict without asking it, for a pickle may put anything in place of its methods."""
    if not isinstance(value, dict):
        raise _not_a_state(path, f'a {type(value).__name__}')
    return dict(dict.items(value))


def _refuse_old_torch(path: Path) -> None:
    version = tuple(int(number) for number in re.findall(r'\d+', torch.__version__)[:2])
    if version < _SAFE_TORCH:
        raise InputError(
            'checkpoint_unsafe',
            f'the checkpoint {path} is a torch file, by which torch {torch.__version__} can be '
            f'made to run code: update torch to {".".join(map(str, _SAFE_TORCH))} or later, or '
            f'fetch the checkpoint as {_SAFETENSORS_SUFFIX}.',
        )


def _refuse_other_archives(path: Path) -> None:
    """Refuse what `torch.save` does not write, and what would grow when it is read.

    Its archives hold tensors as they are, uncompressed and once, and one small pickle of plain
    values around them. `torch.load` refuses names of its own too, but lets a pickle of a hundred
    bytes ask for an array of any size, and hashes whatever it makes the key of a dict.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise _damaged(path, 'it is an archive that unpacks to more than its size')
            (pickled,) = (e for e in entries if e.filename.lower().endswith('data.pkl'))
            if pickled.file_size > _LARGEST_PICKLE_BYTES:
                raise ValueError(
                    f'beside them it holds {pickled.file_size} bytes, expected at most '
                    f'{_LARGEST_PICKLE_BYTES}'
                )
            content = archive.read(pickled)
            _refuse_foreign(path, set(names_in(content)))
            refuse_bulk(content)
    except InputError:
        raise
    except Exception as error:  # a damaged archive can make its readers raise anything
        raise _damaged(
            path,
            f'it is not an archive of tensors as torch.save makes it: {first_line(error)}',
        ) from error


def _refuse_foreign(path: Path, names: set[str]) -> None:
    foreign = sorted(name for name in names if not _PLAIN_NAME.fullmatch(name))
    if foreign:
        raise InputError(
            'checkpoint_unsafe',
            f'the checkpoint {path} asks for {listed(foreign)} when it is opened and was '
            'refused: a checkpoint holds tensors only. Fetch it from its authors, as '
            f'{_SAFETENSORS_SUFFIX} if they have it.',
        )


def _is_dense(value: Any) -> bool:
    """Tell a plain tensor of numbers from sparse, quantized, nested and empty-handed ones."""
    return (
        type(value) in (Tensor, nn.Parameter)
        and value.layout == torch.strided
        and value.device.type == 'cpu'
        and not value.is_quantized
    )


def _refuse_claims(path: Path, state: State) -> None:
    """Refuse tensors that repeat the numbers of the file over and over; a few may be tied."""
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    held = path.stat().st_size
    if claimed > 2 * held:
        raise _not_a_state(path, f'tensors of {claimed} bytes in a file of {held} bytes')


def _is_finite(tensor: Tensor) -> bool:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    if tensor.element_size() == 1:
        tensor = tensor.float()  # torch has no isfinite for 8-bit floats
    return bool(torch.isfinite(tensor).all())


def _plain_config(path: Path, model_config: Any) -> Mapping[str, Any]:
    """Return a configuration as JSON has it, whatever the format of the file."""
    try:
        plain = json.loads(json.dumps(model_config, default=_word))
    except Exception as error:  # of too deep, circular and odd values
        raise InputError(
            'checkpoint_config',
            f'the {_CONFIG_KEY} of {path} is not made of plain values: {first_line(error)}.',
        ) from error
    if not isinstance(plain, dict):
        raise InputError(
            'checkpoint_config',
            f'the {_CONFIG_KEY} of {path} is a {type(plain).__name__}, expected a dict.',
        )
    return plain


def _word(value: Any) -> str:
    """Return what JSON has no word for: types of numbers by name, others by what they are.

    Never as they print themselves, for all numbers of the file may be one value of it.
    """
    return str(value) if isinstance(value, torch.dtype) else type(value).__name__


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        'checkpoint_damaged',
        f'the checkpoint {path} cannot be read ({reason}): it is cut short or not a checkpoint; '
        'fetch it again.',
    )


def _not_a_state(path: Path, found: str) -> InputError:
    return InputError(
        'checkpoint_format',
        f'the checkpoint {path} holds {found}, expected a dict of tensors, or one under '
        f'{" or ".join(_STATE_KEYS)!r}.',
    )
