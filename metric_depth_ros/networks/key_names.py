# SPDX-License-Identifier: Apache-2.0
"""Keys of state dicts: their translation between two namings. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

State = Mapping[str, Tensor]
"""Key -> tensor, of a network or of a checkpoint."""


def renamed(key: str, names: Mapping[str, str]) -> str:
    """Return a key under its new name; a key that is not listed keeps its own.

    Parameters
    ----------
    key
        Key of a state dict.
    names
        Old -> new, whole keys, or beginnings of keys where the old one ends with a dot.
    """
    for before, after in names.items():
        if key == before or (before.endswith('.') and key.startswith(before)):
            return after + key.removeprefix(before)
    return key


def with_renamed_keys(state: State, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return a state with every key `renamed`."""
    return {renamed(key, names): tensor for key, tensor in state.items()}


def inverted(names: Mapping[str, str]) -> dict[str, str]:
    """Return the names for the way back."""
    return {after: before for before, after in names.items()}


def split_block(key: str) -> tuple[str, str]:
    """``'blocks.3.norm1.bias'`` to ``('blocks.3.', 'norm1.bias')``; others to ``('', key)``."""
    parts = key.split('.', 2)
    if len(parts) == 3 and parts[0] == 'blocks' and parts[1].isdigit():
        return f'blocks.{parts[1]}.', parts[2]
    return '', key
