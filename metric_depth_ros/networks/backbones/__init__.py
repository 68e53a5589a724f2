# SPDX-License-Identifier: Apache-2.0
"""Vision transformers, run by transformers' own layers, and the names their authors gave them.

Imports torch and `errors`; the transformers are in the modules of their names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.key_names import State

MOST_BLOCKS = 256


class Backbone(nn.Module, ABC):
    """What the networks ask of a vision transformer.

    Attributes
    ----------
    embed_dim
        Channels of a token.
    patch_size
        Side of a patch in pixels.
    prefix_tokens
        Tokens before the patches.
    """

    embed_dim: int
    patch_size: int
    prefix_tokens: int

    @abstractmethod
    def forward(self, images: Tensor, taps: Sequence[int] = ()) -> tuple[Tensor, list[Tensor]]:
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
            All tokens (N, T, C) after the final norm, patches row-major; raw outputs (N, T, C)
            of the tapped blocks, in the order of `taps`.
        """

    @abstractmethod
    def from_official(self, state: State) -> dict[str, Tensor]:
        """Give the authors' state dict this module's names; unknown keys stay as they are."""

    @abstractmethod
    def to_official(self, state: State) -> dict[str, Tensor]:
        """Give this module's state dict the authors' names and shapes."""


def check_shape(
    embed_dim: int, depth: int, num_heads: int, patch_size: int, *, head_multiple: int = 1
) -> None:
    """Refuse the shape of a transformer that cannot be built: it may come from a file.

    Parameters
    ----------
    embed_dim, depth, num_heads, patch_size
        Channels of a token, blocks, attention heads, side of a patch in pixels.
    head_multiple
        What the channels of a head are a multiple of.

    Raises
    ------
    InputError
        `checkpoint_config` naming what is wrong. Building as many blocks as a file may ask for
        would take hours.
    """
    if min(embed_dim, num_heads, patch_size) < 1 or embed_dim % (num_heads * head_multiple):
        raise InputError(
            'checkpoint_config',
            f'a vision transformer of {embed_dim} channels in {num_heads} heads, with patches of '
            f'{patch_size} pixels, cannot be built: expected positive numbers, and a multiple of '
            f'{head_multiple} as channels of a head.',
        )
    if not 1 <= depth <= MOST_BLOCKS:
        raise InputError(
            'checkpoint_config',
            f'the vision transformer has {depth} blocks, expected 1 to {MOST_BLOCKS}.',
        )
