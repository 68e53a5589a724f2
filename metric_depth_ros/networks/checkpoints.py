# SPDX-License-Identifier: Apache-2.0
"""Checkpoint files: read without trusting them, loaded without guessing.

A network translates between its authors' names and its own (`Network`). Loading is strict: a key
that is missing, unexpected or of another shape is refused by name, because a network with one
random tensor still answers. Imports torch, safetensors and `errors`.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import nn

from metric_depth_ros.errors import InputError

State = Mapping[str, torch.Tensor]


class Network(Protocol):
    """A module that can be loaded from a checkpoint of its authors."""

    def from_official(self, state: State) -> dict[str, torch.Tensor]:
        """Give the authors' state dict this module's names; unknown keys stay as they are."""
        ...

    def to_official(self, state: State) -> dict[str, torch.Tensor]:
        """Give this module's state dict the authors' names and shapes."""
        ...


SAFETENSORS_SUFFIX = '.safetensors'
PICKLE_SUFFIXES = ('.pt', '.pth', '.bin', '.ckpt')
CHECKPOINT_SUFFIXES = (SAFETENSORS_SUFFIX, *PICKLE_SUFFIXES)

_STATE_KEYS = ('model', 'state_dict')
_CONFIG_KEY = 'model_config'
_NAMED_AT_MOST = 8
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint file holds.

    Parameters
    ----------
    path
        The file.
    sha256
        Hexadecimal digest of the file.
    state
        Official key -> tensor, on the CPU, finite.
    model_config
        Constructor arguments that the authors stored with the weights, or None.
    """

    path: Path
    sha256: str
    state: State
    model_config: Mapping[str, Any] | None = None


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed.

    Parameters
    ----------
    path
        ``.safetensors`` (``model_config`` as JSON in its metadata), or a torch file holding the
        state, or a dict of the state under ``model`` or ``state_dict`` and ``model_config``.

    Raises
    ------
    InputError
        A file that is absent, damaged, holds anything but tensors and plain values, or holds
        weights that are NaN or infinite.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError('checkpoint_missing', f'the checkpoint {path} is not a file.')
    if path.suffix == SAFETENSORS_SUFFIX:
        state, model_config = _read_safetensors(path)
    elif path.suffix in PICKLE_SUFFIXES:
        state, model_config = _read_torch_file(path)
    else:
        raise InputError(
            'checkpoint_format',
            f'the checkpoint {path} has the suffix {path.suffix!r}, expected one of '
            f'{", ".join(CHECKPOINT_SUFFIXES)}.',
        )
    _refuse_bad_tensors(path, state)
    return Checkpoint(path, sha256_of(path), state, model_config)


def sha256_of(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 digest of a file."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def load_strict(network: Network, state: State) -> None:
    """Load official weights into a network, all of them or none.

    A network on the meta device takes the tensors as they are (no second copy), any other copies
    them to its own device; the network's dtypes are kept either way.

    Raises
    ------
    InputError
        Keys that are missing, unexpected, or of another shape or kind of number.
    """
    module = cast(nn.Module, network)
    expected = _meta_official_state(network)
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    misfits = [
        f'{key} {_describe(state[key])} instead of {_describe(tensor)}'
        for key, tensor in expected.items()
        if key in state and not _fits(state[key], tensor)
    ]
    if missing or unexpected or misfits:
        faults = (
            _listing('missing', missing),
            _listing('unexpected', unexpected),
            _listing('wrong shape', misfits),
        )
        raise InputError(
            'checkpoint_keys',
            f'the checkpoint does not fit {type(network).__name__}: '
            f'{"; ".join(fault for fault in faults if fault)}. '
            'Is it the checkpoint of another model, or of another version of it?',
        )
    own = module.state_dict()
    tensors = {
        name: tensor.to(own[name].dtype) if name in own else tensor
        for name, tensor in network.from_official(state).items()
    }
    on_meta = any(tensor.is_meta for tensor in own.values())
    module.load_state_dict(tensors, strict=True, assign=on_meta)
    _check_materialized(module)


def official_state(network: Network) -> dict[str, torch.Tensor]:
    """Return the network's weights under their official keys: the inverse of `load_strict`."""
    return network.to_official(cast(nn.Module, network).state_dict())


def released_keys(network: Network) -> dict[str, tuple[int, ...]]:
    """Return official key -> shape, as a checkpoint of this network has them."""
    return {key: tuple(tensor.shape) for key, tensor in _meta_official_state(network).items()}


def parameter_count(module: nn.Module) -> int:
    """Return the number of parameters, without buffers."""
    return sum(parameter.numel() for parameter in module.parameters())


def _meta_official_state(network: Network) -> dict[str, torch.Tensor]:
    """Return official key -> tensor of the expected shape and dtype, without values."""
    own = cast(nn.Module, network).state_dict()
    return network.to_official({name: tensor.to('meta') for name, tensor in own.items()})


def _fits(tensor: torch.Tensor, expected: torch.Tensor) -> bool:
    return (
        tensor.shape == expected.shape
        and tensor.is_floating_point() == expected.is_floating_point()
        and tensor.is_complex() == expected.is_complex()
    )


def _describe(tensor: torch.Tensor) -> str:
    kind = '' if tensor.is_floating_point() else f' {str(tensor.dtype).removeprefix("torch.")}'
    return f'{list(tensor.shape)}{kind}'


def _listing(fault: str, keys: Sequence[str]) -> str:
    if not keys:
        return ''
    more = len(keys) - _NAMED_AT_MOST
    names = ', '.join(keys[:_NAMED_AT_MOST]) + (f' and {more} more' if more > 0 else '')
    return f'{fault} {len(keys)} ({names})'


def _check_materialized(module: nn.Module) -> None:
    """Refuse a module of which a tensor that no checkpoint holds was left on the meta device."""
    left = [name for name, tensor in module.named_buffers() if tensor.is_meta]
    if left:
        raise RuntimeError(
            f'{type(module).__name__} computes the buffers {left} when it is built: build it on '
            'a real device, or make them on demand'
        )


def _read_safetensors(path: Path) -> tuple[State, Mapping[str, Any] | None]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework='pt', device='cpu') as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, _first_line(error)) from error
    if _CONFIG_KEY not in metadata:
        return state, None
    try:
        model_config = json.loads(metadata[_CONFIG_KEY])
    except json.JSONDecodeError as error:
        raise InputError(
            'checkpoint_config', f'the metadata {_CONFIG_KEY} of {path} is not JSON: {error}.'
        ) from error
    return state, _checked_config(path, model_config)


def _read_torch_file(path: Path) -> tuple[State, Mapping[str, Any] | None]:
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise _unsafe(path, error) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(path, _first_line(error)) from error
    if not isinstance(content, Mapping):
        raise _not_a_state(path, f'a {type(content).__name__}')
    model_config = content.get(_CONFIG_KEY)
    key = next((k for k in _STATE_KEYS if isinstance(content.get(k), Mapping)), None)
    state = content if key is None else content[key]
    others = [
        f'{name}: {type(value).__name__}'
        for name, value in state.items()
        if not (isinstance(name, str) and isinstance(value, torch.Tensor))
    ]
    if others or not state:
        raise _not_a_state(path, ', '.join(others[:_NAMED_AT_MOST]) or 'nothing')
    return state, None if model_config is None else _checked_config(path, model_config)


def _checked_config(path: Path, model_config: Any) -> Mapping[str, Any]:
    if not isinstance(model_config, Mapping):
        raise InputError(
            'checkpoint_config',
            f'the {_CONFIG_KEY} of {path} is a {type(model_config).__name__}, expected a dict.',
        )
    return model_config


def _refuse_bad_tensors(path: Path, state: State) -> None:
    sparse = [key for key, tensor in state.items() if tensor.layout != torch.strided]
    if sparse:
        raise _not_a_state(path, f'sparse tensors ({", ".join(sparse[:_NAMED_AT_MOST])})')
    bad = [key for key, tensor in state.items() if not _is_finite(tensor)]
    if bad:
        raise InputError(
            'checkpoint_not_finite',
            f'the checkpoint {path} has NaN or infinite weights: {_listing("in", bad)}. '
            'It is damaged or comes from a training that diverged; fetch it again.',
        )


def _is_finite(tensor: torch.Tensor) -> bool:
    if tensor.is_floating_point() and tensor.element_size() == 1:
        tensor = tensor.float()  # torch has no isfinite for 8-bit floats
    return bool(torch.isfinite(tensor).all())


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        'checkpoint_damaged',
        f'the checkpoint {path} cannot be read ({reason}): it is cut short or not a checkpoint; '
        'fetch it again.',
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _unsafe(path: Path, error: Exception) -> InputError:
    called = re.search(r'GLOBAL ([\w.]+)', str(error))
    if called is None:
        return _damaged(path, 'it holds something else than tensors, which is not opened')
    return InputError(
        'checkpoint_unsafe',
        f'the checkpoint {path} asks for {called.group(1)} when it is opened and was refused: a '
        'checkpoint holds tensors only. Fetch it from its authors, as .safetensors if they have '
        'it.',
    )


def _not_a_state(path: Path, found: str) -> InputError:
    return InputError(
        'checkpoint_format',
        f'the checkpoint {path} holds {found}, expected a dict of tensors, or one under '
        f'{" or ".join(_STATE_KEYS)!r}.',
    )
