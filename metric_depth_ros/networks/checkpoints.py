# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: read without trusting them (`checkpoint_files`), loaded without guessing.

A network translates between its authors' names and its own (`Network`). Loading is strict: a key
that is missing, unexpected or of another shape is refused by name, because a network with one
random tensor still answers. Imports torch, `errors` and siblings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.checkpoint_files import listed, not_finite, read_file
from metric_depth_ros.networks.key_names import State

_BLOCK_BYTES = 1 << 20


class Network(Protocol):
    """A module that can be loaded from a checkpoint of its authors."""

    def from_official(self, state: State) -> dict[str, Tensor]:
        """Give the authors' state dict this module's names; unknown keys stay as they are."""
        ...

    def to_official(self, state: State) -> dict[str, Tensor]:
        """Give this module's state dict the authors' names and shapes."""
        ...


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
        Constructor arguments that the authors stored with the weights, unchecked values of JSON,
        or None.
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
        A file that is absent or damaged, that holds anything but dense tensors and plain values,
        or weights that are NaN or infinite, or that claims more than it holds.
    """
    path = Path(path)
    content = read_file(path)
    return Checkpoint(path, sha256_of(path), content.state, content.model_config)


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
        Keys that are missing, unexpected, or of another shape or kind of number; weights that are
        not finite in the network's dtypes.
    """
    module = cast(nn.Module, network)
    expected = _meta_official_state(network)
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    misfits = [key for key in expected if key in state and not _fits(state[key], expected[key])]
    if missing or unexpected or misfits:
        faults = (
            _listing('missing', missing),
            _listing('unexpected', unexpected),
            _listing(
                'wrong shape',
                [
                    f'{key} {_kind(state[key])} instead of {_kind(expected[key])}'
                    for key in misfits
                ],
            ),
        )
        raise InputError(
            'checkpoint_keys',
            f'the checkpoint does not fit {type(network).__name__}: '
            f'{"; ".join(fault for fault in faults if fault)}. '
            'Is it the checkpoint of another model, or of another version of it?',
        )
    own = module.state_dict()
    given = network.from_official(state)
    tensors = {
        name: tensor.to(own[name].dtype) if name in own else tensor
        for name, tensor in given.items()
    }
    narrowed = {
        name: tensor for name, tensor in tensors.items() if _is_narrower(tensor, given[name])
    }
    if beyond := not_finite(narrowed):
        raise InputError(
            'checkpoint_not_finite',
            f'weights of the checkpoint are too large for {type(network).__name__}, which keeps '
            f'them as {own[beyond[0]].dtype}: {len(beyond)} ({listed(beyond)}). Give '
            'another checkpoint with the option weights (--weights, parameter model.weights).',
        )
    on_meta = any(tensor.is_meta for tensor in own.values())
    module.load_state_dict(tensors, strict=True, assign=on_meta)
    _check_materialized(module)


def released_keys(network: Network) -> dict[str, tuple[int, ...]]:
    """Return official key -> shape, as a checkpoint of this network has them."""
    return {key: tuple(tensor.shape) for key, tensor in _meta_official_state(network).items()}


def parameter_count(module: nn.Module) -> int:
    """Return the number of parameters, without buffers."""
    return sum(parameter.numel() for parameter in module.parameters())


def _meta_official_state(network: Network) -> dict[str, Tensor]:
    """Return official key -> tensor of the expected shape and dtype, without values."""
    own = cast(nn.Module, network).state_dict()
    return network.to_official({name: tensor.to('meta') for name, tensor in own.items()})


def _fits(tensor: Tensor, expected: Tensor) -> bool:
    return (
        tensor.shape == expected.shape
        and tensor.is_floating_point() == expected.is_floating_point()
        and tensor.is_complex() == expected.is_complex()
    )


def _is_narrower(tensor: Tensor, than: Tensor) -> bool:
    """Whether the dtype of a tensor ends at smaller numbers than that of another one."""
    if not tensor.is_floating_point():
        return False
    return torch.finfo(tensor.dtype).max < torch.finfo(than.dtype).max


def _kind(tensor: Tensor) -> str:
    kind = '' if tensor.is_floating_point() else f' {str(tensor.dtype).removeprefix("torch.")}'
    return f'{list(tensor.shape)}{kind}'


def _listing(fault: str, keys: Sequence[str]) -> str:
    return f'{fault} {len(keys)} ({listed(keys)})' if keys else ''


def _check_materialized(module: nn.Module) -> None:
    """Refuse a module of which a tensor that no checkpoint holds was left on the meta device."""
    left = [name for name, tensor in module.named_buffers() if tensor.is_meta]
    if left:
        raise RuntimeError(
            f'{type(module).__name__} computes the buffers {left} when it is built: build it on '
            'a real device, or make them on demand'
        )
