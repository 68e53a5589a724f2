# SPDX-License-Identifier: Apache-2.0
"""Vision transformers, run by transformers' own layers, and the names their authors gave them.

A backbone is a module with `embed_dim`, `patch_size` and `prefix_tokens` (tokens before the
patches), called as `backbone(images, taps)`. It returns all tokens after the final norm, and the
raw output of every tapped block. `from_official` and `to_official` translate state dicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

State = dict[str, Tensor]


class Backbone(Protocol):
    """What the networks ask of a vision transformer."""

    embed_dim: int
    patch_size: int
    prefix_tokens: int

    def __call__(self, images: Tensor, taps: Sequence[int] = ()) -> tuple[Tensor, list[Tensor]]:
        """Encode normalized images.

        Parameters
        ----------
        images
            (N, 3, h, w), multiples of the patch size.
        taps
            Blocks to listen to, counted from 0.

        Returns
        -------
        tuple
            All tokens (N, T, C) after the final norm; raw outputs (N, T, C) of the tapped
            blocks, in the order of `taps`.
        """
        ...

    def from_official(self, state: Mapping[str, Tensor]) -> State:
        """Give the authors' state dict this module's names; unknown keys stay as they are."""
        ...

    def to_official(self, state: Mapping[str, Tensor]) -> State:
        """Give this module's state dict the authors' names and shapes."""
        ...


def translate_parts(
    state: Mapping[str, Tensor], parts: Mapping[str, Backbone], *, to_official: bool
) -> State:
    """Translate the keys below each backbone's prefix and keep all others.

    Parameters
    ----------
    state
        State dict of a whole network.
    parts
        Prefix (``'encoder.patch_encoder.'``) to the backbone that stands there.
    to_official
        Direction: to the authors' names, or from them.
    """
    translated = {key: value for key, value in state.items() if not key.startswith(tuple(parts))}
    for prefix, backbone in parts.items():
        part = {
            key.removeprefix(prefix): value
            for key, value in state.items()
            if key.startswith(prefix)
        }
        renamed = backbone.to_official(part) if to_official else backbone.from_official(part)
        translated.update({prefix + key: value for key, value in renamed.items()})
    return translated
